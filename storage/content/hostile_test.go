package content_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"trellis/storage/content"
	"trellis/storage/storagetest"
)

func aZip(t testing.TB, comment string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("A.class")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("\xca\xfe\xba\xbe")); err != nil {
		t.Fatal(err)
	}
	if err := w.SetComment(comment); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFilesOfOtherKindsAreNotAllowed(t *testing.T) {
	var tarball bytes.Buffer
	w := tar.NewWriter(&tarball)
	_ = w.WriteHeader(&tar.Header{Name: "x"})
	_ = w.Close()
	for name, b := range map[string][]byte{
		"nothing":     {},
		"one byte":    {0x89},
		"HTML":        []byte("<!doctype html><svg onload=alert(1)>"),
		"HTML, late":  []byte("\n\n<!-- <svg> --><html><svg/></html>"),
		"script":      []byte("alert(1)"),
		"MVG":         []byte("push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/x.jpg\"|ls \"-la)'\npop graphic-context"),
		"MSL":         []byte("<?xml version='1.0'?><image><read filename='x'/></image>"),
		"PostScript":  []byte("%!PS\nuserdict /setpagedevice undef"),
		"zip":         aZip(t, ""),
		"tar":         tarball.Bytes(),
		"PHP":         []byte("<?php system($_GET[0]); ?>"),
		"gzip":        []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"),
		"ELF":         []byte("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 64)),
		"exe":         []byte("MZ" + strings.Repeat("\x00", 64)),
		"tiff":        []byte("II*\x00" + strings.Repeat("\x00", 64)),
		"bmp":         []byte("BM" + strings.Repeat("\x00", 64)),
		"heic":        []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"),
		"PDF, later":  append([]byte("\n"), storagetest.PDF(0)...),
		"UTF-16 SVG":  []byte("\xff\xfe<\x00s\x00v\x00g\x00>\x00"),
		"wave":        []byte("RIFF\x04\x00\x00\x00WAVE"),
		"XML, no SVG": []byte("<?xml version='1.0'?><svgx xmlns='http://www.w3.org/2000/svg'/>"),
	} {
		t.Run(name, func(t *testing.T) { refused(t, b, content.NotAllowed) })
	}
	_, err := inspect([]byte("<html><script>alert(1)</script>"), "image/png")
	isRefusal(t, err, content.NotAllowed)
	_, err = inspect(aGIF(t, 1), "image/png")
	isRefusal(t, err, content.Mismatch)
}

func TestPolyglotsAreRefused(t *testing.T) {
	zipped := string(aZip(t, ""))
	files := map[string][]byte{
		"GIFAR":                         append(aGIF(t, 1), zipped...),
		"JPEG and zip":                  append(aJPEG(t), zipped...),
		"PNG and zip":                   append(aPNG(t), zipped...),
		"PDF and zip":                   append(storagetest.PDF(0), zipped...),
		"zip in a JPEG's comment":       jpegWith(t, jpegSegment(0xfe, []byte(zipped))),
		"zip in a PNG's private chunk":  pngWith(t, pngChunk("zzZz", []byte(zipped))),
		"zip in a PNG's picture data":   pngWith(t, pngChunk("IDAT", []byte(zipped))),
		"zip with a PNG in its comment": pngWith(t, pngChunk("tEXt", aZip(t, strings.Repeat("x", 300)))),
		"zip in a GIF's comment":        gifWith(t, string(aZip(t, ""))),
		"zip in a WebP":                 riff(vp8x(0, 13, 9), riffChunk("VP8L", decode(t, aVP8L)), riffChunk("zipp", []byte(zipped))),
		"zip in a PDF's comment":        bytes.Replace(storagetest.PDF(0), []byte("xref\n0"), []byte("%"+zipped+"\nxref\n0"), 1),
		"PHP in a PNG's text":           pngWith(t, pngChunk("tEXt", []byte("Comment\x00<?php system($_GET[0]); ?>"))),
		"PHP in a PNG's picture data":   pngWith(t, pngChunk("IDAT", []byte("<?=$_GET[0]($_POST[1]);?>"))),
		"PHP, command in backquotes":    pngWith(t, pngChunk("tEXt", []byte("Comment\x00<?=`$_GET[0]`?>"))),
		"HTML in a PNG's text":          pngWith(t, pngChunk("tEXt", []byte("Comment\x00<HTML ><BODY>"))),
		"script in a PNG's text":        pngWith(t, pngChunk("iTXt", []byte("x\x00\x00\x00\x00\x00<ScRiPt/src=//127.0.0.1>"))),
		"doctype in a GIF's comment":    gifWith(t, "<!DOCTYPE html>"),
		"iframe in a GIF's comment":     gifWith(t, "<iframe\nsrc=x>"),
		"picture tag in a JPEG":         jpegWith(t, jpegSegment(0xe1, []byte("Exif\x00\x00<img src=x onerror=alert(1)>"))),
		"SVG in a JPEG":                 jpegWith(t, jpegSegment(0xfe, []byte("<svg/onload=alert(1)>"))),
		"script behind a JPEG":          append(aJPEG(t), "<script>alert(1)</script>"...),
		"phar in a JPEG":                jpegWith(t, jpegSegment(0xfe, []byte("<?= 1; __HALT_COMPILER(); ?>"))),
		"zip ends, many of them":        pngWith(t, pngChunk("teSt", bytes.Repeat([]byte("PK\x05\x06abcdefghijklmnopqr"), 1000))),
		"cabinet in a JPEG":             jpegWith(t, jpegSegment(0xfe, []byte("MSCF\x00\x00\x00\x00\x01"))),
		"RAR behind a JPEG":             append(aJPEG(t), "Rar!\x1a\x07\x00"...),
		"7z in a PNG":                   pngWith(t, pngChunk("teXt", []byte("7z\xbc\xaf\x27\x1c\x00\x04"))),
		"PDF in a JPEG's comment":       jpegWith(t, jpegSegment(0xfe, storagetest.PDF(0))),
		"PDF in a PNG's text":           pngWith(t, pngChunk("tEXt", storagetest.PDF(0))),
		"PDF in an SVG's comment":       svgOf("<!-- %PDF-1.4 -->"),
		"HTML in a PDF's comment":       bytes.Replace(storagetest.PDF(0), []byte("\n%"), []byte("\n%<html><script>alert(1)</script>"), 1),
		"PNG behind a JPEG":             append(aJPEG(t), aPNG(t)...),
		"JPEG behind a PNG":             append(aPNG(t), aJPEG(t)...),
		"GIF and JavaScript":            jsGIF(t),
		"JPEG and JavaScript":           jsJPEG(t),
		"WebP and JavaScript":           jsWebP(t),
		"tar in a PNG":                  atOffset(t, pngWith(t, pngChunk("tEXt", make([]byte, 1000))), 257, "ustar"),
		"tar in a PDF":                  atOffset(t, bytes.Replace(storagetest.PDF(0), []byte("\n%"), []byte("\n%"+strings.Repeat(" ", 400)), 1), 257, "ustar"),
		"DICOM in a PDF":                atOffset(t, bytes.Replace(storagetest.PDF(0), []byte("\n%"), []byte("\n%"+strings.Repeat(" ", 400)), 1), 128, "DICM"),
		"disk image in a PNG":           atOffset(t, pngWith(t, pngChunk("tEXt", make([]byte, 50_000))), 0x8001, "CD001"),
		"film in a JPEG":                append([]byte("\xff\xd8\xff\xe0ftyp"), make([]byte, 30_000)...),
	}
	for name, b := range files {
		t.Run(name, func(t *testing.T) { refused(t, b, content.Polyglot) })
	}
}

// A marker is found wherever it stands, also where the windows meet.
func TestMarkersAreFoundEverywhere(t *testing.T) {
	const size = 200_000
	for _, text := range []string{"<script>", "<?php ", "__HALT_COMPILER();", "Rar!\x1a\x07"} {
		places := []int{0, 1, 128 << 10, size - 20}
		for i := range 2 * len(text) { // around the end of the first window, 41 bytes being before
			places = append(places, 64<<10-41-2*len(text)+i+2)
		}
		for _, at := range places {
			data := make([]byte, size)
			copy(data[at:], text)
			refused(t, pngWith(t, pngChunk("teSt", data)), content.Polyglot)
		}
	}
	// So is the record at the end of a zip, as far from the end as it may be.
	zipped := aZip(t, "")
	for _, room := range []int{0, 100, 32_000, 33_000, 40_000, 65_000, 65_400} {
		refused(t, pngWith(t, pngChunk("teSt", append(bytes.Clone(zipped), make([]byte, room)...))), content.Polyglot)
	}
}

func atOffset(t *testing.T, b []byte, at int, text string) []byte {
	t.Helper()
	if len(b) < at+len(text) {
		t.Fatal("the file is too small")
	}
	copy(b[at:], text)
	return b
}

// jsGIF is a GIF whose width opens a comment.
func jsGIF(t *testing.T) []byte {
	b := aGIF(t, 1)
	copy(b[6:], "/*")
	return append(b[:len(b)-1], "\x21\xfe\x10*/=1;alert(1)////\x00\x3b"...)
}

// jsJPEG is a JPEG whose first segment's length opens a comment.
func jsJPEG(t *testing.T) []byte {
	segment := jpegSegment(0xe0, append([]byte("JFIF\x00"), make([]byte, 0x2f2a-7)...))
	return jpegWith(t, segment, jpegSegment(0xfe, []byte(`*/=alert("x")/*`)))
}

// jsWebP is a WebP whose length opens a comment.
func jsWebP(t *testing.T) []byte {
	b := riff(vp8x(0, 13, 9), riffChunk("VP8L", decode(t, aVP8L)), riffChunk("JUNK", make([]byte, 30_000)))
	return append(append(b[:4:4], "/*\x00\x00"...), b[8:]...)
}

func TestMetadataOfPhotosIsAccepted(t *testing.T) {
	const xmp = `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" dc:format="image/jpeg" photoshop:ICCProfile="a &lt;b&gt;"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">1 < 2, <b>bold</b></rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`
	accepted(t, jpegWith(t,
		jpegSegment(0xe0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")),
		jpegSegment(0xe1, append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08"), aJPEG(t)...)),
		jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+xmp)),
		jpegSegment(0xe2, []byte("ICC_PROFILE\x00\x01\x01MZ\x00PK\x03\x04")),
		jpegSegment(0xed, []byte("Photoshop 3.0\x008BIM\x04\x04<p>caption</p>")),
		jpegSegment(0xfe, []byte("a comment about <scripts> and <?xml?>")),
		[]byte{0xff, 0xff, 0xff}), still(content.JPEG))
	accepted(t, pngWith(t, pngChunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp)), pngChunk("iDOT", make([]byte, 28))), still(content.PNG))
	accepted(t, gifWith(t, xmp), still(content.GIF))
}

func TestDamagedFilesAreRefused(t *testing.T) {
	png, jpg, gif := aPNG(t), aJPEG(t), aGIF(t, 1)
	header, end := png[8:33], png[len(png)-12:]
	change := func(b []byte, at int, c byte) []byte {
		b = bytes.Clone(b)
		b[at] = c
		return b
	}
	vp8l := riffChunk("VP8L", decode(t, aVP8L))
	for name, b := range map[string][]byte{
		"PNG without data":               bytes.Join([][]byte{png[:33], end}, nil),
		"PNG with two headers":           pngWith(t, header),
		"PNG without header":             bytes.Join([][]byte{png[:8], end}, nil),
		"PNG with a wrong sum":           change(png, 45, png[45]^1),
		"PNG with a bad signature":       change(png, 4, 'x'),
		"PNG with an unknown chunk":      pngWith(t, pngChunk("CgBI", nil)),
		"PNG with a nameless chunk":      pngWith(t, pngChunk("a\x00bc", nil)),
		"PNG with a long chunk":          pngWith(t, []byte("\xff\xff\xff\xfftEXt")),
		"PNG with data in two runs":      pngWith(t, pngChunk("IDAT", []byte("x")), pngChunk("tEXt", nil)),
		"PNG with a frame outside":       pngWith(t, pngChunk("fcTL", []byte("\x00\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00"))),
		"JPEG without data":              append(bytes.Clone(jpg[:2]), 0xff, 0xd9),
		"JPEG with bytes between":        jpegWith(t, jpegSegment(0xfe, nil), []byte("between")),
		"JPEG with a start in it":        jpegWith(t, []byte{0xff, 0xd8}),
		"JPEG with an empty segment":     jpegWith(t, []byte{0xff, 0xe0, 0, 0}),
		"JPEG with two frame headers":    jpegWith(t, jpegSegment(0xc0, []byte("\x08\x00\x09\x00\x0d\x01\x01\x11\x00"))),
		"JPEG with data before a header": jpegWith(t, jpegSegment(0xda, []byte("\x01\x01\x00\x00\x3f\x00"))),
		"JPEG with text behind it":       append(bytes.Clone(jpg), "#!/bin/sh\n"...),
		"JPEG with half a JPEG":          append(bytes.Clone(jpg), jpg[:100]...),
		"JPEG with a false trailer":      append(bytes.Clone(jpg), "xx"+string(samsung(nil))...),
		"JPEG with a film and more":      append(append(bytes.Clone(jpg), mp4()...), "#!/bin/sh"...),
		"JPEG with half a film":          append(bytes.Clone(jpg), mp4()[:30]...),
		"GIF of no version":              change(gif, 4, '8'),
		"GIF with a frame outside":       bytes.Replace(gif, []byte("\x2c\x00\x00\x00\x00"), []byte("\x2c\x01\x00\x00\x00"), 1),
		"GIF without frames":             append([]byte("GIF89a\x0d\x00\x09\x00\x00\x00\x00"), 0x3b),
		"GIF with an unknown block":      append(bytes.Clone(gif[:len(gif)-1]), 0x55, 0x3b),
		"WebP longer than it says":       append(riff(vp8l), "xxxx"...),
		"WebP shorter than it says":      riff(vp8l)[:30],
		"WebP with much padding":         append(riff(vp8l), 0, 0, 0),
		"WebP, picture and animation":    riff(vp8x(2, 13, 9), vp8l),
		"WebP of no size":                riff(),
		"WebP with another size":         riff(vp8x(0, 14, 9), vp8l),
		"WebP with a frame outside":      riff(vp8x(2, 13, 9), anmf(2, 0, 13, 9, vp8l)),
		"WebP with an empty frame":       riff(vp8x(2, 13, 9), anmf(0, 0, 13, 9)),
		"WebP with two pictures":         riff(vp8x(0, 13, 9), vp8l, vp8l),
		"WebP with a false start code":   riff(riffChunk("VP8 ", make([]byte, 30))),
		"WebP with unknown chunks":       riff(vp8l, riffChunk("JUNK", nil)),
		"JPEG with a reserved marker":    jpegWith(t, []byte{0xff, 0x01, 0, 2}),
		"PDF of half a version":          bytes.Replace(storagetest.PDF(0), []byte("1.4"), []byte("1.4x"), 1),
		"PDF of no version":              bytes.Replace(storagetest.PDF(0), []byte("1.4"), []byte("3.4"), 1),
		"PDF without end":                bytes.Replace(storagetest.PDF(0), []byte("%%EOF"), []byte("%%EO."), 1),
		"PDF that goes on":               append(storagetest.PDF(0), strings.Repeat("x", 2000)...),
	} {
		t.Run(name, func(t *testing.T) { refused(t, b, content.Damaged) })
	}
}

func TestBombsAreRefused(t *testing.T) {
	jpegOf := func(w, h int) []byte {
		b := aJPEG(t)
		i := bytes.Index(b, []byte("\xff\xc0"))
		binary.BigEndian.PutUint16(b[i+5:], uint16(h))
		binary.BigEndian.PutUint16(b[i+7:], uint16(w))
		return b
	}
	gifOf := func(w, h int) []byte {
		b := aGIF(t, 1)
		binary.LittleEndian.PutUint16(b[6:], uint16(w))
		binary.LittleEndian.PutUint16(b[8:], uint16(h))
		return b
	}
	vp8l := decode(t, aVP8L)
	large := bytes.Clone(vp8l)
	large[1], large[2], large[3], large[4] = 0xff, 0xff, 0xff, 0x0f
	for name, b := range map[string][]byte{
		"PNG 60000 x 60000":          pngOf(t, 60_000, 60_000),
		"PNG 2^31 wide":              pngOf(t, 1<<31-1, 1),
		"PNG of no height":           pngOf(t, 13, 0),
		"PNG of endless chunks":      pngWith(t, bytes.Repeat(pngChunk("tEXt", nil), 1<<17)),
		"PNG of endless frames":      pngWith(t, bytes.Repeat(pngChunk("fcTL", append(make([]byte, 7), append([]byte{1, 0, 0, 0, 1}, make([]byte, 14)...)...)), content.MaxFrames+1)),
		"JPEG 60000 x 60000":         jpegOf(60_000, 60_000),
		"JPEG of no height":          jpegOf(13, 0),
		"JPEG of endless scans":      endlessScans(t),
		"JPEG of endless segments":   jpegWith(t, bytes.Repeat([]byte("\xff\xfe\x00\x02"), 1<<17)),
		"JPEG with a large follower": append(aJPEG(t), jpegOf(60_000, 60_000)...),
		"JPEG of endless JPEGs":      bytes.Repeat(aJPEG(t), 200),
		"GIF 65535 x 65535":          gifOf(65_535, 65_535),
		"GIF of no width":            gifOf(0, 9),
		"GIF of endless frames":      gifFrames(t, content.MaxFrames+1),
		"GIF of endless blocks":      gifBlocks(t),
		"WebP 16384 x 16384":         riff(riffChunk("VP8L", large)),
		"WebP canvas":                riff(vp8x(0, 1<<24, 1<<24), riffChunk("VP8L", vp8l)),
		"WebP of endless frames":     anAnimatedWebP(t, content.MaxFrames+1),
		"WebP of endless chunks":     riff(vp8x(0, 13, 9), bytes.Repeat(riffChunk("JUNK"), 1<<17), riffChunk("VP8L", vp8l)),
	} {
		t.Run(name, func(t *testing.T) { refused(t, b, content.TooLarge) })
	}
	accepted(t, pngOf(t, 8000, 8000), content.Info{Type: content.PNG, Width: 8000, Height: 8000, Frames: 1})
	refused(t, pngOf(t, 8001, 8000), content.TooLarge)
}

func endlessScans(t *testing.T) []byte {
	b := aJPEG(t)
	i := bytes.Index(b, []byte("\xff\xda"))
	scan := b[i : len(b)-2]
	return bytes.Join([][]byte{b[:i], bytes.Repeat(scan, 101), b[len(b)-2:]}, nil)
}

func gifFrames(t *testing.T, n int) []byte {
	b := aGIF(t, 1)
	i := 13
	if b[10]&0x80 != 0 {
		i += 3 << (1 + b[10]&7)
	}
	return bytes.Join([][]byte{b[:i], bytes.Repeat([]byte("\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x4c\x01\x00"), n), b[i:]}, nil)
}

func gifBlocks(t *testing.T) []byte {
	b := aGIF(t, 1)
	return bytes.Join([][]byte{b[:len(b)-1], bytes.Repeat([]byte("\x21\xfe\x00"), 1<<17), {0x3b}}, nil)
}

// A zip whose directory has a million members costs no memory, nor does a large
// picture.
func TestMemoryIsBounded(t *testing.T) {
	member := append([]byte("PK\x01\x02"), make([]byte, 42)...)
	dir := bytes.Repeat(member, 400_000)
	end := binary.LittleEndian.AppendUint32([]byte("PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff"), uint32(len(dir)))
	hostile := pngWith(t, pngChunk("teSt", bytes.Join([][]byte{dir, end, make([]byte, 6)}, nil)))
	large := pngWith(t, pngChunk("teSt", make([]byte, 20<<20)))
	for name, b := range map[string][]byte{"zip": hostile, "picture": large} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := inspect(b, "")
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%s: %d bytes were taken in all (%v)", name, used, err)
		}
	}
}

// Random pixels are taken for nothing else.
func TestNoiseIsAccepted(t *testing.T) {
	r := rand.NewChaCha8([32]byte{7})
	data := make([]byte, 4<<20)
	for i := range 4 {
		if _, err := r.Read(data); err != nil {
			t.Fatal(err)
		}
		if _, err := inspect(pngWith(t, pngChunk("IDAT", data)), ""); err != nil {
			t.Error(fmt.Errorf("run %d: %w", i, err))
		}
	}
}
