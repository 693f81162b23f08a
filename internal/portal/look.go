package portal

// wayCookie remembers which way to sign in was used last in this browser.
const wayCookie = "signet-way"
