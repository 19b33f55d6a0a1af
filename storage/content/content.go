package content

import (
	"context"
	"fmt"
	"io"
	"mime"
	"strings"
)

// The kinds of file that are kept.
const (
	JPEG = "image/jpeg"
	PNG  = "image/png"
	GIF  = "image/gif"
	WebP = "image/webp"
	SVG  = "image/svg+xml"
	PDF  = "application/pdf"
)

// The limits of what is accepted.
const (
	// MaxPixels is how many a picture, or one of its frames, may have by its header.
	MaxPixels = 64_000_000
	// MaxFrames is how many an animation may have.
	MaxFrames = 10_000
	// MaxSVG is how many bytes an SVG may have.
	MaxSVG = 2 << 20

	// maxParts is how many chunks or segments a file may have. Encoders that
	// write small ones still use a kilobyte each.
	maxParts = 1 << 16
)

// Info is what is known of an accepted file.
type Info struct {
	// Type is one of Types.
	Type string
	// Extension is the usual one, with its dot.
	Extension string
	// Width and Height are those of a raster picture as it is stored, before
	// any EXIF orientation; 0 for other kinds.
	Width, Height int
	// Frames is how many pictures an animation has, 1 for a still; 0 for what
	// is not a raster picture.
	Frames int
}

// Kind is the reason for which a file is refused.
type Kind string

// The kinds of refusal.
const (
	// NotAllowed is a file of a kind that is unknown or not kept, or an empty one.
	NotAllowed Kind = "not_allowed"
	// Mismatch is a file that is not what it was claimed to be.
	Mismatch Kind = "mismatch"
	// Polyglot is a file that is something else besides.
	Polyglot Kind = "polyglot"
	// Damaged is a file that is cut off, broken, or goes on after its end.
	Damaged Kind = "damaged"
	// TooLarge is a file that would take too much to show, whatever its size.
	TooLarge Kind = "too_large"
	// Active is an SVG that can run something or fetch something.
	Active Kind = "active"
)

// Refusal is the error for a file that may not be kept.
type Refusal struct {
	Kind Kind
	// Reason is a sentence that the sender may see.
	Reason string
}

// Error gives the reason.
func (r *Refusal) Error() string { return "content: " + r.Reason }

func refuse(k Kind, format string, args ...any) error {
	return &Refusal{Kind: k, Reason: fmt.Sprintf(format, args...)}
}

func damaged(format string, args ...any) error { return refuse(Damaged, format, args...) }

// Types returns the kinds of file that are kept.
func Types() []string { return []string{JPEG, PNG, GIF, WebP, SVG, PDF} }

// Extension returns the usual extension of one of Types, with its dot.
func Extension(contentType string) string {
	switch contentType {
	case JPEG:
		return ".jpg"
	case PNG:
		return ".png"
	case GIF:
		return ".gif"
	case WebP:
		return ".webp"
	case SVG:
		return ".svg"
	case PDF:
		return ".pdf"
	}
	return ""
}

// Canonical returns the type that a Content-Type header claims, without
// parameters and under its proper name, or "" if it claims nothing.
func Canonical(header string) string {
	t, _, err := mime.ParseMediaType(header)
	if err != nil {
		t, _, _ = strings.Cut(header, ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	switch t {
	case "application/octet-stream", "binary/octet-stream":
		return ""
	case "image/jpg", "image/pjpeg":
		return JPEG
	case "image/x-png", "image/apng":
		return PNG
	case "image/svg":
		return SVG
	case "application/x-pdf":
		return PDF
	}
	return t
}

// Claimable tells whether a file with that Content-Type header may be one that
// is kept: a header that names none of Types need not be followed by bytes.
func Claimable(header string) bool {
	t := Canonical(header)
	return t == "" || Extension(t) != ""
}

// Inspect reads a file of that many bytes and tells what it is. claimed is the
// Content-Type it came with, which may say nothing. The error is a *Refusal, or
// the reader's or the context's. The file is read twice, from its beginning to
// its end, in pieces of 64 KB.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, claimed string) (Info, error) {
	if size <= 0 {
		return Info{}, refuse(NotAllowed, "the file is empty")
	}
	s := newSource(ctx, r, size)
	found, err := s.sniff()
	if err != nil {
		return Info{}, err
	}
	if c := Canonical(claimed); c != "" && c != found {
		return Info{}, refuse(Mismatch, "the file was said to be %s and is %s", quote(c), found)
	}
	if err := s.polyglot(found); err != nil {
		return Info{}, err
	}
	info, err := s.walk(found)
	if err != nil {
		return Info{}, err
	}
	info.Type, info.Extension = found, Extension(found)
	return info, nil
}

// walk reads the structure of a file of that type.
func (s *source) walk(found string) (Info, error) {
	switch found {
	case JPEG:
		return s.jpeg()
	case PNG:
		return s.png()
	case GIF:
		return s.gif()
	case WebP:
		return s.webp()
	case SVG:
		return s.svg()
	default:
		return Info{}, s.pdf()
	}
}

// checkSize refuses dimensions that no picture has or no decoder should be given.
func checkSize(w, h int) error {
	if w <= 0 || h <= 0 {
		return refuse(TooLarge, "the picture has a width or height of 0")
	}
	if int64(w)*int64(h) > MaxPixels {
		return refuse(TooLarge, "the picture has %d x %d pixels, more than %d megapixels", w, h, MaxPixels/1_000_000)
	}
	return nil
}

// quote makes a text from a file fit to be shown.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
	}
	return fmt.Sprintf("%q", s)
}
