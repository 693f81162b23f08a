// Package browser carries the browser extension that signs a browser in by the
// device it runs on, so that one program can write it out for a server.
//
// The extension sets one header, for requests of the whole tab to the authorize
// address of that server, and never twice for one nonce (decisions.md 4.7). It
// asks the agent for the header over native messaging and holds no secret.
package browser

import "embed"

// Files are the extension as it stands in this folder.
//
//go:embed manifest.json *.js *.html *.css
var Files embed.FS

// Address is the match pattern in the manifest that stands for the server.
const Address = "http://localhost/*"
