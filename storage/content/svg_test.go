package content_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"trellis/storage/content"
)

// goodSVGs are what editors write, piece by piece.
var goodSVGs = map[string]string{
	"nothing":        "",
	"shapes":         `<g id="a" fill="none"><path d="M0 0L9 9"/><rect width="3" height="3" rx="1"/><circle r="3"/></g>`,
	"text":           `<text x="1" font-family="'DejaVu Sans', sans-serif">1 &lt; 2 &amp; <tspan dy="1em">ö</tspan></text>`,
	"gradient":       `<defs><linearGradient id="g"><stop offset="0" stop-color="red"/></linearGradient><linearGradient id="h" xlink:href="#g"/></defs><rect fill="url(#h)" style="stroke:url( '#g' );fill-opacity:.5"/>`,
	"use":            `<symbol id="s"><path d="M0 0"/></symbol><use href="#s"/><use xlink:href="#s" x="3"/>`,
	"filter":         `<filter id="f"><feGaussianBlur stdDeviation="2"/><feMerge><feMergeNode in="SourceGraphic"/></feMerge></filter><g filter="url(#f)"/>`,
	"mask and clip":  `<clipPath id="c"><path d="M0 0"/></clipPath><mask id="m"><path/></mask><g clip-path="url(#c)" mask="url(&quot;#m&quot;)"/>`,
	"style":          `<style type="text/css"><![CDATA[ .a > .b { fill: url(#g); scroll-behavior: smooth } @media (prefers-color-scheme: dark) { .a { fill: #fff } } ]]></style>`,
	"font face":      `<style>@font-face{font-family:x;src:local("Arial")}</style>`,
	"animation":      `<rect><animate attributeName="x" values="0;1;0" dur="1s" repeatCount="indefinite"/><animateTransform attributeName="transform" type="rotate" from="0" to="360" begin="0s;a.click"/><set attributeName="fill" to="red"/></rect>`,
	"link within":    `<a href="#top" target="_self"><text>up</text></a>`,
	"picture":        `<image width="1" xlink:href="` + dataURI + `"/>`,
	"broken lines":   `<image width="1" href="` + dataURI[:40] + "\n\t" + dataURI[40:] + `"/>`,
	"described":      `<title>a title</title><desc>what it is, &lt;in words></desc>`,
	"accessible":     `<g role="img" aria-label="back\slash" data-name="Layer 1" data-x-1="url(x)"/>`,
	"space and lang": `<text xml:space="preserve" xml:lang="de"> a </text>`,
	"inkscape": `<sodipodi:namedview xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" id="b" pagecolor="#ffffff" inkscape:zoom="1"><inkscape:grid type="xygrid"/></sodipodi:namedview>
		<g xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" inkscape:label="Layer 1" inkscape:groupmode="layer"/>`,
	"metadata": `<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cc="http://creativecommons.org/ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">
		<cc:Work rdf:about=""><dc:format>image/svg+xml</dc:format><dc:type rdf:resource="http://purl.org/dc/dcmitype/StillImage"/><dc:title>t</dc:title><dc:source>s</dc:source></cc:Work></rdf:RDF></metadata>`,
	"adobe":          `<g xmlns:i="http://ns.adobe.com/AdobeIllustrator/10.0/" i:layer="yes"/>`,
	"unused":         `<g xmlns:h="http://www.w3.org/1999/xhtml"/>`,
	"comment":        `<!-- Generator: <g> --><!--a-->`,
	"self reference": `<g id="a"><use href="#a"/></g>`,
}

const dataURI = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

func TestGoodSVGsAreAccepted(t *testing.T) {
	for name, inside := range goodSVGs {
		t.Run(name, func(t *testing.T) { accepted(t, svgOf(inside), content.Info{Type: content.SVG}) })
	}
	for name, whole := range map[string]string{
		"bare":        `<svg xmlns="http://www.w3.org/2000/svg"/>`,
		"BOM":         "\xef\xbb\xbf" + string(svgOf("")),
		"prefix":      `<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:path d="M0 0"/></s:svg>`,
		"doctype":     `<?xml version="1.0" standalone="no"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg xmlns="http://www.w3.org/2000/svg"/>`,
		"short one":   `<!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg"/>`,
		"comments":    "<!-- a " + strings.Repeat("long ", 2000) + "one -->\n<svg xmlns='http://www.w3.org/2000/svg'/>\n<!-- end -->\n",
		"single":      "<?xml version='1.0' encoding='utf-8'?>\r\n<svg xmlns='http://www.w3.org/2000/svg'></svg>\r\n",
		"hundred use": string(svgOf(`<path id="p"/>` + strings.Repeat(`<use href="#p"/>`, 10_000))),
	} {
		t.Run(name, func(t *testing.T) { accepted(t, []byte(whole), content.Info{Type: content.SVG}) })
	}
}

// activeSVGs are ways in which an SVG runs or fetches something, or hides from
// one reader what another will run.
var activeSVGs = []string{
	`<script>alert(1)</script>`,
	`<script href="x.js"/>`,
	`<SCRIPT>alert(1)</SCRIPT>`,
	`<s:script xmlns:s="http://www.w3.org/2000/svg">alert(1)</s:script>`,
	`<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>`,
	`<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>`,
	`<g xmlns="http://www.inkscape.org/namespaces/inkscape"><script>alert(1)</script></g>`,
	`<i:script xmlns:i="http://www.inkscape.org/namespaces/inkscape">alert(1)</i:script>`,
	`<g xmlns="http://purl.org/dc/elements/1.1/"/>`,
	`<?xml version="1.0"?>`,
	`<g xmlns=""><script>alert(1)</script></g>`,
	`<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>`,
	`<foreignobject/>`,
	`<iframe xmlns="http://www.w3.org/1999/xhtml" src="javascript:alert(1)"/>`,
	`<h:iframe xmlns:h="http://www.w3.org/1999/xhtml" src="//127.0.0.1"/>`,
	`<iframe/>`, `<object/>`, `<embed/>`, `<audio/>`, `<video/>`, `<canvas/>`,
	`<handler type="application/ecmascript" xmlns:ev="http://www.w3.org/2001/xml-events" ev:event="load">alert(1)</handler>`,
	`<listener event="load" handler="#x"/>`,
	`<discard/>`, `<cursor href="#a"/>`, `<color-profile href="#a"/>`, `<unknown/>`,
	`<g onload="alert(1)"/>`, `<g ONLOAD="alert(1)"/>`, `<g onanything="x"/>`,
	`<g xmlns:x="http://www.inkscape.org/namespaces/inkscape" x:onload="alert(1)"/>`,
	`<g xmlns:onload="http://www.inkscape.org/namespaces/inkscape" onload:x="alert(1)"/>`,
	`<animate onbegin="alert(1)" attributeName="x" dur="1s"/>`,
	`<a href="javascript:alert(1)"><text>x</text></a>`,
	`<a xlink:href="java&#x0a;script:alert(1)"><text>x</text></a>`,
	`<a xlink:href=" &#9;JaVaScRiPt:alert(1)"/>`,
	`<a href="https://example.com/"/>`, `<a href="//example.com"/>`, `<a href="page.html"/>`,
	`<a href="data:text/html;base64,PHNjcmlwdD4="/>`,
	`<a href="` + dataURI + `"/>`,
	`<a href="data:image/svg+xml;base64,PHN2Zy8+"/>`,
	`<use href="https://example.com/x.svg#a"/>`, `<use xlink:href="x.svg#a"/>`,
	`<use href="data:image/svg+xml;base64,PHN2ZyBpZD0neCc+PC9zdmc+#x"/>`,
	`<image href="https://example.com/x.png"/>`,
	`<image href="data:image/svg+xml;base64,PHN2Zy8+"/>`,
	`<image href="data:image/svg+xml,%3Csvg/%3E"/>`,
	`<image href="data:image/png,x"/>`,
	`<image href="data:text/html;base64,eA=="/>`,
	`<image src="x.png"/>`,
	`<feImage href="https://example.com/x.png"/>`,
	`<g xmlns:xlink="http://www.inkscape.org/namespaces/inkscape"><a xlink:href="javascript:alert(1)"/></g>`,
	`<g xml:base="https://example.com/"><use href="#a"/></g>`,
	`<g xmlns:xl="http://www.w3.org/1999/xlink"><a xl:href="javascript:alert(1)"/></g>`,
	`<set attributeName="href" to="javascript:alert(1)"/>`,
	`<set attributeName="xlink:href" to="javascript:alert(1)"/>`,
	`<a><animate attributeName="href" values="javascript:alert(1)"/></a>`,
	`<set attributeName="onload" to="alert(1)"/>`,
	`<set attributeName="zz:href" to="#a"/>`,
	`<set attributeName="style" to="fill:red"/>`,
	`<set attributeName="fill" to="url(https://example.com/#a)"/>`,
	`<animate attributeName="fill" values="javascript:alert(1)"/>`,
	`<style>@import "https://example.com/x.css";</style>`,
	`<style>@import url(#x);</style>`,
	`<style>@im<!-- -->port "x";</style>`,
	`<style>@im<![CDATA[port "x";]]></style>`,
	`<style>@\69mport "x";</style>`,
	`<style>a{background:url(https://example.com/)}</style>`,
	`<style>a{background:u/**/rl(x)}</style>`,
	`<style>a{background:url(/**/#x)}</style>`,
	`<style>a{background:URL ( "x" )}</style>`,
	`<style>a{background:url(data:image/png;base64,eA==)}</style>`,
	`<style>a{background:image-set("x.png" 1x)}</style>`,
	`<style>a{background:-webkit-image-set("x.png" 1x)}</style>`,
	`<style>a{width:expression(alert(1))}</style>`,
	`<style>a{width:exp/**/ression(alert(1))}</style>`,
	`<style>a{filter:progid:DXImageTransform.Microsoft.AlphaImageLoader(src='x.png')}</style>`,
	`<style>a{-moz-binding:url(#x)}</style>`,
	`<style>a{behavior:url(#x)}</style>`,
	`<style>a{scroll-behavior:smooth;behavior :x}</style>`,
	`<style><g/></style>`,
	`<style>a{}&lt;/style>&lt;script>alert(1)&lt;/script></style>`,
	`<style><![CDATA[</style><script>alert(1)</script>]]></style>`,
	`<title><style><img title="x"/></style></title>`,
	`<title><g/></title>`, `<desc><text>x</text></desc>`,
	`<rect style="fill:url(https://example.com/)"/>`,
	`<rect style="fill:u\72l(https://example.com/)"/>`,
	`<rect style="background:url(&quot;//example.com&quot;)"/>`,
	`<rect fill="url(https://example.com/#a)"/>`,
	`<rect fill="u\72l(https://example.com/#a)"/>`,
	`<rect filter="url(x.svg#f)"/>`, `<rect clip-path="url('x.svg#f')"/>`, `<rect cursor="url(x.cur)"/>`,
	`<rect mask="url(&#10;//example.com)"/>`,
	`<text><![CDATA[<script>alert(1)</script>]]></text>`,
	`<!--><script>alert(1)</script>-->`,
	`<!--><img src=x onerror=alert(1)>-->`,
	`<?xml-stylesheet href="x.css"?>`,
	`<?php system("id") ?>`,
	`<x:y xmlns:x="https://example.com/unknown"/>`,
	`<g xmlns:x="https://example.com/unknown" x:y="z"/>`,
	`<g x:y="undeclared"/>`, `<x:g/>`,
	`<g xmlns:x="http://www.inkscape.org/namespaces/inkscape"><x:g srcdoc="x"/></g>`,
	`<metadata><html xmlns="http://www.w3.org/1999/xhtml"/></metadata>`,
}

func TestActiveSVGsAreRefused(t *testing.T) {
	for i, inside := range activeSVGs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			_, err := inspect(svgOf(inside), "")
			if err == nil {
				t.Fatal(inside)
			}
			isRefusal(t, err, content.Active)
		})
	}
	for name, whole := range map[string]string{
		"handler of the root": `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
		"no namespace":        `<svg><path d="M0 0"/></svg>`,
		"another namespace":   `<svg xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></svg>`,
		"style sheet":         `<?xml version="1.0"?><?xml-stylesheet href="x.css"?><svg xmlns="http://www.w3.org/2000/svg"/>`,
		"entity":              `<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>`,
		"entities":            `<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>`,
		"external type":       `<!DOCTYPE svg SYSTEM "https://example.com/x.dtd"><svg xmlns="http://www.w3.org/2000/svg"/>`,
		"default attributes":  `<!DOCTYPE svg [<!ATTLIST svg onload CDATA "alert(1)">]><svg xmlns="http://www.w3.org/2000/svg"/>`,
	} {
		t.Run(name, func(t *testing.T) { refused(t, []byte(whole), content.Active) })
	}
}

func TestTheReasonNamesWhatIsActive(t *testing.T) {
	for inside, want := range map[string]string{
		`<script/>`:                              `"script"`,
		`<g onload="x"/>`:                        `"onload"`,
		`<a href="https://example.com"/>`:        `"https://example.com"`,
		`<rect fill="url(x)"/>`:                  `"fill" with an external reference`,
		`<` + strings.Repeat("a", 50_000) + `/>`: `"aaaaaaaaaa`,
	} {
		_, err := inspect(svgOf(inside), "")
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.60s: %.300v", inside, err)
		}
	}
}

func TestDamagedSVGsAreRefused(t *testing.T) {
	for name, inside := range map[string]string{
		"not closed":      `<g>`,
		"closed twice":    `</g>`,
		"unquoted":        `<g id=a/>`,
		"no value":        `<g id/>`,
		"unknown entity":  `&x;`,
		"less than":       `<g id="<"/>`,
		"control":         "<text>\x01</text>",
		"control, hidden": "<!-- \x01 -->",
		"control, named":  "<text>&#1;</text>",
		"NUL":             "<text>\x00</text>",
		"not UTF-8":       "<text>\xff</text>",
		"overlong":        "<text>\xc0\xbcscript></text>",
		"second root":     `</svg><svg xmlns="http://www.w3.org/2000/svg">`,
		"text behind":     `</svg>x<svg xmlns="http://www.w3.org/2000/svg">`,
		"comment in it":   `<!-- -- -->`,
		"broken picture":  `<image href="data:image/png;base64,!!!!"/>`,
		"cut off picture": `<image href="` + dataURI[:60] + `"/>`,
	} {
		t.Run(name, func(t *testing.T) { refused(t, svgOf(inside), content.Damaged) })
	}
	for name, whole := range map[string]string{
		"UTF-7":      `<?xml version="1.0" encoding="UTF-7"?><svg xmlns="http://www.w3.org/2000/svg">+ADw-script+AD4-</svg>`,
		"Latin 1":    `<?xml version="1.0" encoding="ISO-8859-1"?><svg xmlns="http://www.w3.org/2000/svg"/>`,
		"more in it": `<?xml version="1.0" x="><script>alert(1)</script>"?><svg xmlns="http://www.w3.org/2000/svg"/>`,
	} {
		t.Run(name, func(t *testing.T) { refused(t, []byte(whole), content.Damaged) })
	}
}

func TestPicturesInSVGsAreInspected(t *testing.T) {
	uri := func(kind string, b []byte) []byte {
		return svgOf(`<image href="data:` + kind + `;base64,` + base64.StdEncoding.EncodeToString(b) + `"/>`)
	}
	accepted(t, uri("image/jpg", aJPEG(t)), content.Info{Type: content.SVG})
	refused(t, uri("image/png", aJPEG(t)), content.Mismatch)
	refused(t, uri("image/png", []byte("<script>")), content.NotAllowed)
	refused(t, uri("image/png", pngOf(t, 60_000, 60_000)), content.TooLarge)
	refused(t, uri("image/png", append(aPNG(t), aZip(t, "")...)), content.Polyglot)
}

func TestLargeSVGsAreRefused(t *testing.T) {
	var laughs strings.Builder
	for i := range 12 {
		fmt.Fprintf(&laughs, `<g id="g%d">%s</g>`, i, strings.Repeat(fmt.Sprintf(`<use href="#g%d"/>`, i+1), 10))
	}
	var patterns strings.Builder
	for i := range 12 {
		fmt.Fprintf(&patterns, `<pattern id="g%d">%s</pattern>`, i, strings.Repeat(fmt.Sprintf(`<rect style="fill:Url(#g%d)"/>`, i+1), 10))
	}
	var chain strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&chain, `<use id="c%d" href="#c%d"/>`, i, i+1)
	}
	for name, inside := range map[string]string{
		"bytes":      strings.Repeat(" ", content.MaxSVG),
		"depth":      strings.Repeat("<g>", 1000) + strings.Repeat("</g>", 1000),
		"elements":   strings.Repeat("<g/>", 60_000),
		"attributes": "<g " + strings.Repeat(`id="a" `, 1000) + "/>",
		"attribute":  `<g class="` + strings.Repeat("a", 100_000) + `"/>`,
		"laughs":     laughs.String(),
		"patterns":   patterns.String(),
		"chain":      chain.String(),
	} {
		t.Run(name, func(t *testing.T) { refused(t, svgOf(inside), content.TooLarge) })
	}
	accepted(t, svgOf(`<path d="`+strings.Repeat("M0 0", 100_000)+`"/>`), content.Info{Type: content.SVG})
}

// What would take minutes or gigabytes if anything in it were looked at again
// and again is looked at in a moment.
func TestLongSVGsTakeTimeByTheirLength(t *testing.T) {
	for name, inside := range map[string]string{
		"addresses":  `<path values="` + strings.Repeat("url(#", 400_000) + `"/>`,
		"comments":   `<style>` + strings.Repeat("/*@", 600_000) + `</style>`,
		"styles":     strings.Repeat(`<style>`+strings.Repeat("a@:", 100)+`</style>`, 5000),
		"namespaces": strings.Repeat(strings.Repeat(`<g xmlns:a="b" xmlns:b="c">`, 100)+strings.Repeat("</g>", 100), 400),
		"uses":       `<g id="a"/>` + strings.Repeat(`<use id="a" href="#a"/>`, 40_000),
		"data":       strings.Repeat("<![CDATA[a]]>", 150_000),
		"pictures":   strings.Repeat(`<image href="`+dataURI+`"/>`, 10_000),
	} {
		t.Run(name, func(t *testing.T) { accepted(t, svgOf(inside), content.Info{Type: content.SVG}) })
	}
}
