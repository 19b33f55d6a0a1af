package thumbnail

import (
	"image"

	"github.com/disintegration/imaging"
)

// fit returns the sides of a picture whose longest side has size pixels, or as
// many as it has.
func fit(width, height, size int) (w, h int) {
	longest := max(width, height)
	if longest <= size {
		return width, height
	}
	scale := func(side int) int {
		return max(1, int((2*int64(side)*int64(size)+int64(longest))/(2*int64(longest))))
	}
	return scale(width), scale(height)
}

func resize(img *image.NRGBA, w, h int) *image.NRGBA {
	if img.Rect.Dx() == w && img.Rect.Dy() == h {
		return img
	}
	return imaging.Resize(img, w, h, imaging.Lanczos)
}

// orient does what the orientation of EXIF asks for.
func orient(img *image.NRGBA, orientation int) *image.NRGBA {
	switch orientation {
	case 2:
		return imaging.FlipH(img)
	case 3:
		return imaging.Rotate180(img)
	case 4:
		return imaging.FlipV(img)
	case 5:
		return imaging.Transpose(img)
	case 6:
		return imaging.Rotate270(img)
	case 7:
		return imaging.Transverse(img)
	case 8:
		return imaging.Rotate90(img)
	}
	return img
}
