package portal

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is how many white modules stand around a QR code (ISO/IEC 18004:2015,
// 6.3.8): without them many cameras find none, in dark pages above all.
const quiet = 4

// qrPicture is a QR code as a drawing: Size modules wide and high, the quiet
// zone included, and the path of its dark ones. Pages draw it black on white in
// every theme.
type qrPicture struct {
	Size int
	Path string
}

// qrOf draws the code of a text. Medium correction is enough for a screen.
func qrOf(text string) (qrPicture, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return qrPicture{}, fmt.Errorf("QR code of %d bytes: %w", len(text), err)
	}
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	return qrPicture{Size: code.Size + 2*quiet, Path: b.String()}, nil
}
