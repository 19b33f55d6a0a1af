//go:build !cgo

package thumbnail

import (
	"bytes"
	"image"

	"github.com/HugoSmits86/nativewebp"
)

func encode(img *image.NRGBA) ([]byte, error) {
	var out bytes.Buffer
	err := nativewebp.Encode(&out, img, nil)
	return out.Bytes(), err
}
