package metadata

import (
	"encoding/base64"
	"image"
	_ "image/jpeg" // formats that an icon may have
	_ "image/png"
	"strings"
)

// What an icon may be. It goes into pages of ours, and a thousand of them into
// memory.
const (
	maxIcon     = 48 << 10 // bytes of the data URI
	maxIconSide = 1024     // pixels
)

// checkedIcon returns uri if it is a PNG or JPEG within bounds, called what its
// bytes are, and "" for everything else: an SVG may hold scripts and links, and
// what else there may be nobody has asked for.
func checkedIcon(uri string) string {
	if len(uri) > maxIcon {
		return ""
	}
	head, data, ok := strings.Cut(strings.TrimSpace(uri), ",")
	if !ok || !strings.HasPrefix(strings.ToLower(head), "data:image/") || !strings.HasSuffix(strings.ToLower(head), ";base64") {
		return ""
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	if strings.Trim(strings.TrimRight(data, "="), alphabet) != "" || len(data)%4 != 0 {
		return ""
	}
	c, format, err := image.DecodeConfig(base64.NewDecoder(base64.StdEncoding, strings.NewReader(data)))
	if err != nil || format != "png" && format != "jpeg" || c.Width < 1 || c.Height < 1 || c.Width > maxIconSide || c.Height > maxIconSide {
		return ""
	}
	if want := "data:image/" + format + ";base64"; head != want {
		return want + "," + data
	}
	return uri
}
