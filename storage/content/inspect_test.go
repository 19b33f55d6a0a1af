package content_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"trellis/storage/content"
	"trellis/storage/storagetest"
)

func inspect(b []byte, claimed string) (content.Info, error) {
	return content.Inspect(context.Background(), bytes.NewReader(b), int64(len(b)), claimed)
}

// accepted fails unless the file is, as what is wanted.
func accepted(t *testing.T, b []byte, want content.Info) {
	t.Helper()
	got, err := inspect(b, "")
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	want.Extension = content.Extension(want.Type)
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// refused fails unless the file is, for that reason.
func refused(t *testing.T, b []byte, kind content.Kind) {
	t.Helper()
	_, err := inspect(b, "")
	isRefusal(t, err, kind)
}

func isRefusal(t *testing.T, err error, kind content.Kind) {
	t.Helper()
	var r *content.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal as %s", err, kind)
	}
	if r.Kind != kind {
		t.Fatalf("refused as %s (%s), want %s", r.Kind, r.Reason, kind)
	}
	if r.Reason == "" || len(r.Reason) > 300 || strings.ContainsAny(r.Reason, "\n\x00") {
		t.Fatalf("the reason is not fit to be shown: %q", r.Reason)
	}
}

func still(kind string) content.Info {
	return content.Info{Type: kind, Width: 13, Height: 9, Frames: 1}
}

// goodFiles are small files of every kind, with how many bytes may be missing
// at their end for what is left to be complete.
func goodFiles(t testing.TB) map[string]struct {
	bytes    []byte
	want     content.Info
	optional int
} {
	type file = struct {
		bytes    []byte
		want     content.Info
		optional int
	}
	second := aJPEG(t)
	return map[string]file{
		"png":           {aPNG(t), still(content.PNG), 0},
		"apng":          {pngWith(t, pngChunk("acTL", make([]byte, 8)), pngChunk("fcTL", []byte("\x00\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00"))), still(content.PNG), 0},
		"jpeg":          {aJPEG(t), still(content.JPEG), 0},
		"gif":           {aGIF(t, 1), still(content.GIF), 0},
		"animated gif":  {aGIF(t, 3), content.Info{Type: content.GIF, Width: 13, Height: 9, Frames: 3}, 0},
		"webp":          {riff(riffChunk("VP8 ", decode(t, aVP8))), still(content.WebP), 0},
		"lossless webp": {riff(riffChunk("VP8L", decode(t, aVP8L))), still(content.WebP), 0},
		"extended webp": {riff(vp8x(0, 13, 9), riffChunk("ICCP", []byte("x")), riffChunk("VP8L", decode(t, aVP8L)), riffChunk("XMP ", []byte("<x:xmpmeta>"))), still(content.WebP), 0},
		"animated webp": {anAnimatedWebP(t, 3), content.Info{Type: content.WebP, Width: 20, Height: 20, Frames: 3}, 0},
		"pdf":           {storagetest.PDF(0), content.Info{Type: content.PDF}, 1},
		"svg":           {svgOf("<path d='M0 0L9 9'/>"), content.Info{Type: content.SVG}, 0},
		"samsung":       {append(aJPEG(t), samsung([]byte("1700000000000"))...), still(content.JPEG), -1},
		"two jpegs":     {append(append(aJPEG(t), make([]byte, 5)...), second...), still(content.JPEG), -1},
		"motion photo":  {append(aJPEG(t), mp4()...), still(content.JPEG), -1},
	}
}

func TestGoodFilesAreAccepted(t *testing.T) {
	for name, f := range goodFiles(t) {
		t.Run(name, func(t *testing.T) { accepted(t, f.bytes, f.want) })
	}
	padded := map[string][]byte{
		"gif":  append(aGIF(t, 1), 0, 0, 0),
		"jpeg": append(aJPEG(t), make([]byte, 100_000)...),
	}
	for name, b := range padded {
		t.Run(name+" with padding", func(t *testing.T) { accepted(t, b, still("image/"+name)) })
	}
}

// goroot is where the pictures are that Go tests its own decoders with.
func goroot(t testing.TB) string {
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("there is no Go command here, whose test pictures are needed")
	}
	return strings.TrimSpace(string(out))
}

func TestPicturesOfTheStandardLibraryAreAccepted(t *testing.T) {
	n := 0
	for _, dir := range []string{"src/image/testdata", "src/image/png/testdata", "src/image/png/testdata/pngsuite"} {
		files, _ := filepath.Glob(filepath.Join(goroot(t), dir, "*"))
		for _, name := range files {
			base := filepath.Base(name)
			want := map[string]string{".png": content.PNG, ".gif": content.GIF, ".jpeg": content.JPEG}[filepath.Ext(name)]
			if want == "" {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			n++
			got, err := inspect(b, want)
			if strings.HasPrefix(base, "invalid-") && base != "invalid-palette.png" && base != "invalid-zlib.png" {
				isRefusal(t, err, content.Damaged)
				continue
			}
			if err != nil || got.Type != want || got.Frames != 1 {
				t.Errorf("%s: %+v, %v", base, got, err)
			}
			if strings.HasPrefix(base, "video-001.q") && (got.Width != 150 || got.Height != 103) {
				t.Errorf("%s is said to have %d x %d pixels", base, got.Width, got.Height)
			}
		}
	}
	if n < 50 {
		t.Fatalf("found %d pictures", n)
	}
}

// What is cut off anywhere is refused, unless what is left is complete.
func TestTruncatedFilesAreRefused(t *testing.T) {
	for name, f := range goodFiles(t) {
		t.Run(name, func(t *testing.T) {
			whole := map[int]bool{}
			for i := range f.optional {
				whole[len(f.bytes)-1-i] = true
			}
			if f.optional < 0 { // the first JPEG alone, with what padding it has
				n := len(aJPEG(t))
				for whole[n] = true; f.bytes[n] == 0; n++ {
					whole[n+1] = true
				}
			}
			for n := range f.bytes {
				got, err := inspect(f.bytes[:n], "")
				if whole[n] {
					if err != nil {
						t.Errorf("the first %d bytes are complete: %v", n, err)
					}
					continue
				}
				var r *content.Refusal
				if !errors.As(err, &r) {
					t.Errorf("the first %d of %d bytes are accepted: %+v, %v", n, len(f.bytes), got, err)
				} else if r.Kind != content.Damaged && r.Kind != content.NotAllowed {
					t.Errorf("the first %d bytes are refused as %s: %s", n, r.Kind, r.Reason)
				}
			}
		})
	}
}

func TestFilesThatGoOnAfterTheirEndAreRefused(t *testing.T) {
	for name, f := range goodFiles(t) {
		t.Run(name, func(t *testing.T) {
			refused(t, append(bytes.Clone(f.bytes), "more"...), content.Damaged)
			if f.want.Type != content.SVG {
				kind := content.Polyglot
				if name == "pdf" || name == "samsung" { // whose end is looked for at the end of the file
					kind = content.Damaged
				}
				refused(t, append(bytes.Clone(f.bytes), "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 64)...), kind)
			}
		})
	}
}

func TestFlippedBitsNeverPanic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, f := range goodFiles(t) {
		t.Run(name, func(*testing.T) {
			for range 2000 {
				b := bytes.Clone(f.bytes)
				for range 1 + r.IntN(3) {
					b[r.IntN(len(b))] ^= 1 << r.IntN(8)
				}
				_, _ = inspect(b, "")
			}
		})
	}
}

func TestClaims(t *testing.T) {
	for _, c := range []struct {
		claimed string
		kind    content.Kind // "" for accepted
	}{
		{"", ""},
		{"application/octet-stream", ""},
		{"image/png", ""},
		{"IMAGE/PNG; charset=binary", ""},
		{"image/x-png", ""},
		{"image/png; =", ""},
		{"image/jpeg", content.Mismatch},
		{"text/html", content.Mismatch},
		{"image/svg+xml", content.Mismatch},
		{"nonsense", content.Mismatch},
		{";", ""},
	} {
		t.Run(c.claimed, func(t *testing.T) {
			_, err := inspect(aPNG(t), c.claimed)
			if c.kind == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			isRefusal(t, err, c.kind)
		})
	}
	if _, err := inspect(aJPEG(t), "image/jpg"); err != nil {
		t.Fatal(err)
	}
}

func TestClaimable(t *testing.T) {
	for header, want := range map[string]bool{
		"": true, "application/octet-stream": true, "image/jpg": true, "image/svg+xml; charset=utf-8": true,
		"text/html": false, "image/tiff": false, "image/heic": false, "nonsense": false,
	} {
		if got := content.Claimable(header); got != want {
			t.Errorf("%q is claimable: %v", header, got)
		}
	}
	for _, typ := range content.Types() {
		if !content.Claimable(typ) || content.Extension(typ) == "" {
			t.Errorf("%s is not claimable, or has no extension", typ)
		}
	}
}

func TestErrorsOfTheReaderAreNotRefusals(t *testing.T) {
	broken := errors.New("the disk is broken")
	for name, f := range goodFiles(t) {
		if _, err := content.Inspect(t.Context(), failing{broken}, int64(len(f.bytes)), ""); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := content.Inspect(t.Context(), bytes.NewReader(f.bytes), int64(len(f.bytes))+1, ""); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, shorter than it was said to be: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := content.Inspect(ctx, bytes.NewReader(f.bytes), int64(len(f.bytes)), ""); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, canceled: %v", name, err)
		}
	}
	// One that gives little at a time is no reason for another answer.
	b := aPNG(t)
	if _, err := content.Inspect(t.Context(), iotestReaderAt{b}, int64(len(b)), ""); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

type iotestReaderAt struct{ b []byte }

func (r iotestReaderAt) ReadAt(p []byte, off int64) (int, error) {
	return io.ReadFull(iotest.OneByteReader(bytes.NewReader(r.b[off:])), p)
}
