package thumbnail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"trellis/storage/thumbnail"
)

// expensive are 16 files that cost as much as the limits let them.
func expensive(t *testing.T) map[string][]byte {
	g := image.NewPaletted(image.Rect(0, 0, 4000, 4000), palette.WebSafe)
	rgb := flatJPEG(0xc0, 3000, 3000, 0x11, 0x11, 0x11)
	lossy := vp8(8000, 4000, make([]byte, 5<<20)...)
	lossy[8+2] = 0x40 // the first partition has half a megabyte
	files := map[string][]byte{
		"a.jpeg": flatJPEG(0xc0, 8000, 8000, 0x22, 0x11, 0x11),
		"b.jpeg": half(flatJPEG(0xc0, 7990, 8000, 0x22, 0x11, 0x11)),
		"c.jpeg": half(flatJPEG(0xc0, 10000, 6000, 0x21, 0x11, 0x11)),
		"d.jpeg": flatJPEG(0xc2, 5000, 4800, 0x11),
		"e.jpeg": half(flatJPEG(0xc2, 4000, 3900, 0x22, 0x11, 0x11)),
		"f.jpeg": half(flatJPEG(0xc2, 5000, 4800, 0x11)),
		"g.jpeg": withSegments(rgb, segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x00"))),
		"h.jpeg": flatJPEG(0xc0, 8000, 8000, 0x11, 0x11, 0x11),
		"i.png":  pngOf(t, ihdr(8000, 8000, 16, 6, 0), nothing(16<<20)),
		"j.png":  pngOf(t, ihdr(8000, 8000, 16, 6, 1), nothing(16<<20)),
		"k.png":  pngOf(t, ihdr(60000, 100, 8, 2, 0), nothing(60000*3*100+100)),
		"l.gif":  encodeGIF(t, &gif.GIF{Image: []*image.Paletted{g}, Delay: []int{0}}),
		"m.gif":  append(gifHeader(8000, 8000), 0x2c, 0, 0, 0, 0, 0x40, 0x1f, 0x40, 0x1f, 0x40, 8, 0),
		"n.webp": riff(flatVP8L(16000, 1000)),
		"o.webp": riff(lossy),
		"p.webp": riff(vp8x(16, 8000, 4000), riffChunk("ALPH", append([]byte{1}, flatVP8L(1, 1)[8+5:]...)), lossy),
	}
	return files
}

func half(data []byte) []byte { return data[:len(data)/2] }

const memoryDirectory = "TRELLIS_TEST_THUMBNAIL_MEMORY"

// TestMemoryIsLimited: a whole process stays below 256 MB with 16 hostile files
// at the same time.
func TestMemoryIsLimited(t *testing.T) {
	if dir := os.Getenv(memoryDirectory); dir != "" {
		makeAll(t, dir)
		return
	}
	if raceEnabled || testing.Short() {
		t.Skip("the race detector needs more memory than the program")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("only Linux tells how much memory there was at most")
	}
	dir := t.TempDir()
	for name, data := range expensive(t) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryIsLimited$", "-test.v")
	cmd.Env = append(os.Environ(), memoryDirectory+"="+dir, "GOMEMLIMIT=off", "GOGC=100")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no peak in\n%s", out)
	}
	if kb, err := strconv.Atoi(string(found[1])); err != nil || kb >= 256<<10 {
		t.Errorf("%s of memory, at most 256 MB", found[0])
	}
}

func makeAll(t *testing.T, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil || len(names) != 16 {
		t.Fatal(names, err)
	}
	m := thumbnail.New(thumbnail.Limits{})
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			_, err = m.Make(context.Background(), f, "image/"+strings.TrimPrefix(filepath.Ext(name), "."), 256, 32)
			if err != nil && !errors.Is(err, thumbnail.ErrDamaged) && !errors.Is(err, thumbnail.ErrTooExpensive) {
				t.Error(name, err)
			}
			fmt.Println(filepath.Base(name), err)
		})
	}
	wg.Wait()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if bytes.HasPrefix(line, []byte("VmHWM")) {
			fmt.Printf("%s", line)
		}
	}
}

// TestEstimatesAreNotTooLow: all that decoding allocates, collected or not, is
// within what was set aside for it.
func TestEstimatesAreNotTooLow(t *testing.T) {
	files := map[string][]byte{
		"4:2:0.jpeg":       flatJPEG(0xc0, 999, 751, 0x22, 0x11, 0x11),
		"4:2:2.jpeg":       flatJPEG(0xc0, 999, 751, 0x21, 0x11, 0x11),
		"4:4:0.jpeg":       flatJPEG(0xc0, 999, 751, 0x12, 0x11, 0x11),
		"4:1:0.jpeg":       flatJPEG(0xc0, 999, 751, 0x42, 0x11, 0x11),
		"2:2, 2:1.jpeg":    flatJPEG(0xc0, 999, 751, 0x22, 0x21, 0x21),
		"progressive.jpeg": flatJPEG(0xc2, 999, 751, 0x22, 0x11, 0x11),
		"4:4:4.jpeg":       flatJPEG(0xc2, 999, 751, 0x11, 0x11, 0x11),
		"grey.jpeg":        flatJPEG(0xc2, 999, 751, 0x42),
		"rgb.jpeg": withSegments(flatJPEG(0xc0, 999, 751, 0x11, 0x11, 0x11),
			segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x00"))),
		"cmyk.jpeg": withSegments(flatJPEG(0xc0, 999, 751, 0x22, 0x11, 0x11, 0x22),
			segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x00"))),
		"ycck.jpeg": withSegments(flatJPEG(0xc0, 999, 751, 0x11, 0x11, 0x11, 0x11),
			segment(0xee, []byte("Adobe\x00d\x00\x00\x00\x00\x02"))),
		"16.png":          pngOf(t, ihdr(999, 1001, 16, 6, 1), nothing(0)),
		"wide.png":        pngOf(t, ihdr(100_000, 3, 16, 6, 0), nothing(3*8*100_000+3)),
		"lossless.webp":   riff(flatVP8L(3000, 900)),
		"tiles.webp":      testdata(t, "lossless-tiles.webp"),
		"photo.webp":      testdata(t, "lossless-photo.webp"),
		"lossy.webp":      testdata(t, "lossy.webp"),
		"alpha.webp":      testdata(t, "lossy-alpha.webp"),
		"interlaced.gif":  goroot(t, "testdata/video-001.interlaced.gif"),
		"restart.jpeg":    goroot(t, "testdata/video-001.restart2.jpeg"),
		"separate.jpeg":   goroot(t, "testdata/video-001.separate.dc.progression.progressive.jpeg"),
		"interlaced.png":  goroot(t, "png/testdata/benchRGB-interlace.png"),
		"photograph.jpeg": encodeJPEG(t, photo(300, 500, 1)),
	}
	for name, data := range files {
		contentType := "image/" + strings.TrimPrefix(filepath.Ext(name), ".")
		estimate, err := thumbnail.Estimate(data, contentType)
		if err != nil {
			t.Fatal(name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = thumbnail.Painted(data, contentType)
		runtime.ReadMemStats(&after)
		if err != nil && !errors.Is(err, thumbnail.ErrDamaged) {
			t.Error(name, err)
		}
		if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > estimate {
			t.Errorf("%s: %d bytes, set aside were %d", name, allocated, estimate)
		} else {
			t.Logf("%s: %d bytes of %d", name, allocated, estimate)
		}
	}
}

// TestLargePNGsAreCheap: 64 megapixels of 16 bits would be 512 MB.
func TestLargePNGsAreCheap(t *testing.T) {
	for interlace := range byte(2) {
		estimate, err := thumbnail.Estimate(pngOf(t, ihdr(8000, 8000, 16, 6, interlace), nothing(0)), "image/png")
		if err != nil || estimate > 12<<20 {
			t.Errorf("%d bytes, %v", estimate, err)
		}
	}
}
