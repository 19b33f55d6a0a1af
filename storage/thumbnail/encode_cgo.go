//go:build cgo

package thumbnail

import (
	"image"

	"github.com/chai2010/webp"
)

// quality is that of the lossy encoder.
const quality = 85

func encode(img *image.NRGBA) ([]byte, error) {
	// libwebp wants colours that are not multiplied with alpha, and the binding
	// hands over what is in an image.RGBA as it is.
	return webp.EncodeRGBA(&image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, quality)
}
