package content_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"trellis/storage/content"
)

// FuzzInspect looks for panics, endless loops, and answers that make no sense.
func FuzzInspect(f *testing.F) {
	for _, g := range goodFiles(f) {
		f.Add(g.bytes, "")
	}
	f.Add(aPNG(f), "image/jpeg")
	f.Fuzz(func(t *testing.T, b []byte, claimed string) {
		info, err := inspect(b, claimed)
		var r *content.Refusal
		if err != nil {
			if !errors.As(err, &r) || r.Reason == "" || r.Kind == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if c := content.Canonical(claimed); c != "" && c != info.Type {
			t.Fatalf("claimed as %q and accepted as %s", claimed, info.Type)
		}
		raster := info.Type != content.SVG && info.Type != content.PDF
		if raster != (info.Frames > 0) || raster != (info.Width > 0) || raster != (info.Height > 0) ||
			info.Width*info.Height > content.MaxPixels || info.Frames > content.MaxFrames || info.Extension == "" {
			t.Fatalf("%+v", info)
		}
	})
}

// FuzzSVG has what is accepted read by another parser, one that takes anything,
// which must find nothing active in it.
func FuzzSVG(f *testing.F) {
	for _, s := range activeSVGs {
		f.Add(string(svgOf(s)))
		f.Add(string(svgOf("<g>" + s + "</g>")))
	}
	for _, s := range goodSVGs {
		f.Add(string(svgOf(s)))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := inspect([]byte(s), content.SVG); err != nil {
			return
		}
		if why := activeAsHTML(s); why != "" {
			t.Fatalf("%s in %q", why, s)
		}
	})
}

// activeAsHTML tells what an HTML tokenizer finds that must not be there.
func activeAsHTML(s string) string {
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken, html.SelfClosingTagToken:
		default:
			continue
		}
		t := z.Token()
		switch name := t.Data[strings.LastIndexByte(t.Data, ':')+1:]; name {
		case "script", "foreignobject", "iframe", "object", "embed", "audio", "video", "canvas", "img", "body", "html", "base", "link", "meta", "handler", "listener":
			return "the element " + t.Data
		}
		for _, a := range t.Attr {
			bare := a.Key[strings.LastIndexByte(a.Key, ':')+1:]
			value := strings.ToLower(strings.Map(func(r rune) rune {
				if r <= ' ' {
					return -1
				}
				return r
			}, a.Val))
			switch {
			case strings.HasPrefix(a.Key, "on"), strings.HasPrefix(bare, "on") && !strings.HasPrefix(a.Key, "xmlns:"):
				return "the attribute " + a.Key
			case strings.HasPrefix(a.Key, "xmlns"), strings.HasPrefix(a.Key, "data-"), strings.HasPrefix(a.Key, "aria-"):
			case bare == "src", bare == "srcdoc", bare == "action", bare == "formaction", bare == "base":
				return "the attribute " + a.Key
			case bare == "href":
				if value != "" && value[0] != '#' && !strings.HasPrefix(value, "data:image/") || strings.HasPrefix(value, "data:image/svg") {
					return "a reference to " + a.Val
				}
			case a.Key == bare && strings.Contains(value, "javascript:"):
				return "a script in " + a.Key
			case a.Key == bare && strings.Contains(strings.NewReplacer(`url("#`, "", `url('#`, "", "url(#", "").Replace(value), "url("):
				return "a reference in " + a.Key
			}
		}
	}
}

// The second opinion would find what there is, or it would be worth nothing.
func TestTheSecondParserFindsWhatIsActive(t *testing.T) {
	for _, s := range []string{
		`<script/>`, `<SCRIPT>`, `<g onload=x>`, `<a href="javascript:x">`, `<a xlink:href="https://example.com">`,
		`<!--><script>-->`, `<rect fill="url(x)">`, `<x:foreignObject/>`,
	} {
		if activeAsHTML(s) == "" {
			t.Error(s)
		}
	}
	for _, s := range goodSVGs {
		if why := activeAsHTML(string(svgOf(s))); why != "" {
			t.Error(why)
		}
	}
}
