package page

import "html/template"

// icons are the drawings of the pages: 24 by 24, 1.6 line, the colour of the
// text beside them. Text always stands beside them, so readers skip them.
var icons = map[string]template.HTML{
	"passkey":  `<circle cx="7.6" cy="16.4" r="4.4"/><path d="M10.8 13.2 20.5 3.5M15 9l3 3M18.3 5.7l2.4 2.4"/>`,
	"key":      `<circle cx="7.6" cy="16.4" r="4.4"/><path d="M10.8 13.2 20.5 3.5M15 9l3 3M18.3 5.7l2.4 2.4"/>`,
	"usb":      `<rect x="7" y="8" width="10" height="13" rx="2.5"/><path d="M9 8V3h6v5M11 5.2h.01M13 5.2h.01"/><circle cx="12" cy="14.5" r="2"/>`,
	"badge":    `<rect x="2.5" y="5.5" width="19" height="13" rx="2"/><path d="M5.8 10h3.4v3H5.8zM13 10.2h5.4M13 13.6h3.4M5.8 15.8h3.4"/>`,
	"phone":    `<rect x="6.5" y="2.5" width="11" height="19" rx="2.5"/><path d="M10.5 18.5h3"/>`,
	"app":      `<rect x="3" y="4.5" width="18" height="15" rx="2"/><path d="M3 9.2h18M6 6.9h.01M8.6 6.9h.01"/>`,
	"upload":   `<path d="M12 15.5V4.5M7.5 9 12 4.5 16.5 9M4.5 16v2.5a1.5 1.5 0 0 0 1.5 1.5h12a1.5 1.5 0 0 0 1.5-1.5V16"/>`,
	"download": `<path d="M12 4.5v11M7.5 11l4.5 4.5 4.5-4.5M4.5 16v2.5a1.5 1.5 0 0 0 1.5 1.5h12a1.5 1.5 0 0 0 1.5-1.5V16"/>`,
	"laptop":   `<rect x="4.5" y="4.5" width="15" height="10.5" rx="1.8"/><path d="M2 19h20"/>`,
	"screen":   `<rect x="3" y="4.5" width="18" height="12" rx="2"/><path d="M9 20h6M12 16.5V20"/>`,
	"cloud":    `<path d="M7 18.5a4.3 4.3 0 0 1-.4-8.58 5.6 5.6 0 0 1 10.7-1.05A4.85 4.85 0 0 1 17 18.5z"/>`,
	"ticket":   `<path d="M3 8.5a2 2 0 0 1 2-2h14a2 2 0 0 1 2 2 2.2 2.2 0 0 0 0 4.6v2.4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-2.4a2.2 2.2 0 0 0 0-4.6zM14 7v2M14 11v2M14 15v2"/>`,
	"right":    `<path d="m9.5 6 6 6-6 6"/>`,
	"left":     `<path d="m14.5 6-6 6 6 6"/>`,
	"plus":     `<path d="M12 5v14M5 12h14"/>`,
	"check":    `<path d="m5 12.8 4.4 4.4L19 7.4"/>`,
	"copy":     `<rect x="8.5" y="8.5" width="11.5" height="11.5" rx="2"/><path d="M15.5 8.5V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v7.5a2 2 0 0 0 2 2h2.5"/>`,
	"info":     `<circle cx="12" cy="12" r="8.75"/><path d="M12 11v5.2M12 7.8v.01"/>`,
	"warn":     `<path d="M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.01"/>`,
	"half":     `<circle cx="12" cy="12" r="8.25"/><path d="M12 3.75v16.5M12 7l5.6-1M12 12h8M12 17l5.6 1"/>`,
	"again":    `<path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 3.5v4h-4"/>`,
	"person":   `<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5c.8-4 3.8-6 7.5-6s6.7 2 7.5 6"/>`,
	"mail":     `<rect x="3" y="5.5" width="18" height="13" rx="2"/><path d="m3.5 7.5 8.5 6 8.5-6"/>`,
	"apps":     `<rect x="4" y="4" width="6.5" height="6.5" rx="1.5"/><rect x="13.5" y="4" width="6.5" height="6.5" rx="1.5"/><rect x="4" y="13.5" width="6.5" height="6.5" rx="1.5"/><rect x="13.5" y="13.5" width="6.5" height="6.5" rx="1.5"/>`,
	"clock":    `<circle cx="12" cy="12" r="8.75"/><path d="M12 7v5.2l3.4 2"/>`,
	"down":     `<path d="m6 9.5 6 6 6-6"/>`,
	"home":     `<path d="m3.5 11.5 8.5-7.5 8.5 7.5M6 9.5V20h12V9.5"/>`,
	"log":      `<path d="M5 4v16M9 6.5h10.5M9 12h7.5M9 17.5h9"/>`,
	"menu":     `<path d="M4 7h16M4 12h16M4 17h16"/>`,
	"rules":    `<path d="M4 6.5h16M4 12h16M4 17.5h16"/><circle cx="9" cy="6.5" r="2.1"/><circle cx="15.5" cy="12" r="2.1"/><circle cx="7.5" cy="17.5" r="2.1"/>`,
	"search":   `<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>`,
	"people":   `<circle cx="9" cy="8.5" r="3.5"/><path d="M2.8 19.5c.6-3.6 3-5.5 6.2-5.5s5.6 1.9 6.2 5.5M16 5.3a3.5 3.5 0 0 1 0 6.4M18 14.6c1.8.8 2.9 2.5 3.2 4.9"/>`,
	"group":    `<circle cx="12" cy="7.5" r="3"/><circle cx="5.5" cy="10.5" r="2.2"/><circle cx="18.5" cy="10.5" r="2.2"/><path d="M7 19.5c.4-3.4 2.2-5.2 5-5.2s4.6 1.8 5 5.2M2.3 17.5c.2-2 1.2-3.2 3-3.4M21.7 17.5c-.2-2-1.2-3.2-3-3.4"/>`,
	"chart":    `<path d="M4 20V4M4 20h16M8.5 16.5v-5M12.5 16.5V8M16.5 16.5v-3"/>`,
	"strength": `<path d="M12 3.5v17M5 8h14M7.5 12.5h9M10 17h4"/>`,
	"close":    `<path d="m6 6 12 12M18 6 6 18"/>`,
	"pin":      `<path d="M12 21c4.5-4.6 6.5-7.8 6.5-10.8a6.5 6.5 0 0 0-13 0c0 3 2 6.2 6.5 10.8z"/><circle cx="12" cy="10" r="2.3"/>`,
	"finger":   `<path d="M6.5 17.5c.9-1.8 1.2-3.6 1.2-5.7a4.3 4.3 0 0 1 8.6 0c0 1.2 0 2.3-.2 3.5M12 11.5c0 3.6-.7 6.6-2.2 9.2M15.6 18.5l-.6 2M4.3 14c.2-.8.3-1.5.3-2.2a7.4 7.4 0 0 1 14.8 0c0 1.9 0 3.6-.4 5.4"/>`,
	"erase":    `<path d="M8.5 5.5h11A1.5 1.5 0 0 1 21 7v10a1.5 1.5 0 0 1-1.5 1.5h-11L3 12zM11.5 9.5l5 5m0-5-5 5"/>`,
	"bell":     `<path d="M6 16.5h12c-1.2-1.4-1.8-3-1.8-6.3a4.2 4.2 0 0 0-8.4 0c0 3.3-.6 4.9-1.8 6.3zM10.3 19.3a1.8 1.8 0 0 0 3.4 0M12 6V4.5"/>`,
	"share":    `<path d="M12 14.5V3.5M8.5 6.5 12 3l3.5 3.5M8 10H6.5A1.5 1.5 0 0 0 5 11.5v8A1.5 1.5 0 0 0 6.5 21h11a1.5 1.5 0 0 0 1.5-1.5v-8a1.5 1.5 0 0 0-1.5-1.5H16"/>`,
	"addbox":   `<rect x="4" y="4" width="16" height="16" rx="3.5"/><path d="M12 8.5v7M8.5 12h7"/>`,
	"offline":  `<path d="M4 9.5a12 12 0 0 1 16 0M7 13a7.5 7.5 0 0 1 10 0M10 16.5a3 3 0 0 1 4 0M12 19.5v.01M4 4l16 16"/>`,
	"trash":    `<path d="M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 10.5v5.5M13.5 10.5v5.5"/>`,
	"pen":      `<path d="M5 19l.8-3.8L16.3 4.7a1.5 1.5 0 0 1 2.1 0l.9.9a1.5 1.5 0 0 1 0 2.1L8.8 18.2z"/>`,
	"leave":    `<path d="M10 4.5H6a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2h4M15 8l4 4-4 4M19 12H9.5"/>`,
}

// directed icons point somewhere and are mirrored in right-to-left pages.
var directed = map[string]bool{"right": true, "left": true}

// Icon draws one by name. An unknown name draws a key: a room may name an
// icon that this page has not got, and a page without a picture still works.
func Icon(name string) template.HTML {
	body, ok := icons[name]
	if !ok {
		body = icons["key"]
	}
	class := "ic"
	if directed[name] {
		class = "ic turn"
	}
	return `<svg class="` + template.HTML(class) + `" viewBox="0 0 24 24" aria-hidden="true" focusable="false">` + body + `</svg>`
}
