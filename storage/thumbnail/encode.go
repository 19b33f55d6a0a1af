package thumbnail

import (
	"errors"
	"image"
	"image/draw"
)

// maxSide is how many pixels the format has room for.
const maxSide = 16383

// Encode returns the image as WEBP: of quality 85 by libwebp, or lossless and
// larger where the program was built without cgo. It holds pixels only.
func Encode(img image.Image) ([]byte, error) {
	b := img.Bounds()
	if b.Empty() || b.Dx() > maxSide || b.Dy() > maxSide {
		return nil, errors.New("thumbnail: no image of 1 to 16383 pixels a side")
	}
	pixels, ok := img.(*image.NRGBA)
	if !ok || pixels.Rect.Min != (image.Point{}) || pixels.Stride != 4*b.Dx() {
		pixels = image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
		draw.Draw(pixels, pixels.Rect, img, b.Min, draw.Src)
	}
	return encode(pixels)
}
