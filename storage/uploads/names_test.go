package uploads_test

import (
	"mime"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"trellis/storage"
	"trellis/storage/content"
	"trellis/storage/uploads"
)

func TestFilename(t *testing.T) {
	for _, c := range []struct{ name, extension, want string }{
		{"a.png", ".png", "a.png"},
		{"A.PNG", ".png", "A.PNG"},
		{"photo.jpeg", ".jpg", "photo.jpeg"},
		{"photo.jpg.exe", ".jpg", "photo.jpg.exe.jpg"},
		{"../../etc/passwd", ".svg", "passwd.svg"},
		{`C:\temp\x.gif`, ".gif", "x.gif"},
		{"a\r\nSet-Cookie: b.png", ".png", "aSet-Cookie b.png"},
		{"\u202egnp.exe", ".png", "gnp.exe.png"},
		{"a\u2028b\u2029c.png", ".png", "abc.png"},
		{"", ".pdf", "file.pdf"},
		{"...", ".pdf", "file.pdf"},
		{".png", ".png", "png.png"},
		{"été 2026.png", ".png", "été 2026.png"},
		{"a\xff\xfe.png", ".png", "a.png"},
		{strings.Repeat("é", 200), ".webp", strings.Repeat("é", 125) + ".webp"},
		{strings.Repeat("x", 254) + ".png", ".png", strings.Repeat("x", 251) + ".png"},
	} {
		if got := uploads.Filename(c.name, c.extension); got != c.want {
			t.Errorf("%q as %s is %q, want %q", c.name, c.extension, got, c.want)
		}
	}
}

func extensions() (out []string) {
	for _, typ := range content.Types() {
		out = append(out, content.Extension(typ))
	}
	return out
}

func FuzzFilename(f *testing.F) {
	for _, s := range []string{"a.png", "", "...", "a/b\\c", strings.Repeat("%", 300), strings.Repeat("é", 300), "x\x00\u202e\u2028", strings.Repeat(" .", 200), "\u212a.png", "\xff"} {
		f.Add(s, uint8(len(s)))
	}
	list := extensions()
	f.Fuzz(func(t *testing.T, in string, which uint8) {
		extension := list[int(which)%len(list)]
		name := uploads.Filename(in, extension)
		lower := strings.ToLower(name)
		if !strings.HasSuffix(lower, extension) && !strings.HasSuffix(lower, ".jpeg") {
			t.Errorf("%q does not end in %s", name, extension)
		}
		if len(name) > 255 || !utf8.ValidString(name) || name[0] == '.' || name[0] == ' ' || len(name) <= len(extension) {
			t.Errorf("%q of %d bytes", name, len(name))
		}
		if strings.ContainsAny(name, `/\`) || strings.ContainsFunc(name, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }) {
			t.Errorf("%q has characters that it must not have", name)
		}
		if again := uploads.Filename(name, extension); again != name {
			t.Errorf("%q becomes %q", name, again)
		}
		disposes(t, name)
	})
}

func FuzzDisposition(f *testing.F) {
	for _, s := range []string{"a.png", "été.png", `a"b\c.png`, "a\r\nX: y", "100%.png", "a+b c;d=e.png", "\u202e", "'", "", strings.Repeat("%", 255), strings.Repeat("é", 127)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if utf8.ValidString(name) && len(name) <= 255 {
			disposes(t, name)
		}
	})
}

// disposes checks the headers for a name.
func disposes(t *testing.T, name string) {
	t.Helper()
	for _, inline := range []bool{false, true} {
		header := uploads.Disposition(name, inline)
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || inline != (kind == "inline") || !inline && kind != "attachment" {
			t.Errorf("%q: %q, %v", header, kind, err)
		}
		if params["filename"] != name || len(params) != 1 {
			t.Errorf("%q says %q, want %q", header, params, name)
		}
		if strings.Count(header, `"`) != 2 || strings.Contains(header, `\`) {
			t.Errorf("%q has quotes that it must not have", header)
		}
		if !(storage.Get{Expires: time.Hour, Disposition: header}).Valid() {
			t.Errorf("%q of %d bytes cannot be signed", header, len(header))
		}
	}
}
