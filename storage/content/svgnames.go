package content

import "strings"

const (
	svgSpace   = "http://www.w3.org/2000/svg"
	xlinkSpace = "http://www.w3.org/1999/xlink"
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
)

// inertSpaces are the namespaces in which editors keep what no browser shows.
var inertSpaces = words(`
	http://www.inkscape.org/namespaces/inkscape
	http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd http://inkscape.sourceforge.net/DTD/sodipodi-0.dtd
	http://www.w3.org/1999/02/22-rdf-syntax-ns# http://www.w3.org/2000/01/rdf-schema#
	http://creativecommons.org/ns# http://web.resource.org/cc/
	http://purl.org/dc/elements/1.1/ http://purl.org/dc/terms/ http://purl.org/dc/dcmitype/
	http://www.bohemiancoding.com/sketch/ns http://www.figma.com/figma/ns
	http://www.serif.com/ http://vectornator.io https://boxy-svg.com
	http://www.corel.com/coreldraw/odm/2003 http://krita.org/namespaces/svg/krita
	http://schemas.microsoft.com/visio/2003/SVGExtensions/
	http://svgjs.com/svgjs http://svgjs.dev/svgjs`)

func inert(space string) bool {
	return inertSpaces[space] || strings.HasPrefix(space, "http://ns.adobe.com/")
}

// svgElements are those of SVG 1.1 and 2 that draw, describe or animate. Not
// among them: script, foreignObject, handler, listener, what embeds or plays
// (iframe, object, embed, audio, video, canvas), and what can only refer to
// other files (cursor, color-profile, font-face-uri, discard).
var svgElements = words(`
	svg g defs symbol use switch title desc metadata style a view image
	path rect circle ellipse line polyline polygon
	text tspan tref textPath altGlyph glyphRef font font-face font-face-name glyph missing-glyph hkern vkern
	linearGradient radialGradient meshgradient meshrow meshpatch hatch hatchpath solidcolor stop
	pattern clipPath mask marker filter
	feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix feDiffuseLighting
	feDisplacementMap feDistantLight feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR
	feGaussianBlur feImage feMerge feMergeNode feMorphology feOffset fePointLight
	feSpecularLighting feSpotLight feTile feTurbulence
	animate animateColor animateMotion animateTransform set mpath
	flowRoot flowRegion flowRegionExclude flowDiv flowPara flowSpan flowLine`)

// svgAttributes are those of these elements, without handlers, references
// (href is looked at on its own) and what sends or loads (ping, src).
var svgAttributes = words(`
	id class style lang tabindex focusable role transform version baseProfile viewBox preserveAspectRatio
	zoomAndPan contentScriptType contentStyleType enable-background requiredFeatures requiredExtensions
	systemLanguage externalResourcesRequired type media title target rel overflow crossorigin
	x y x1 y1 x2 y2 cx cy r rx ry fx fy fr dx dy rotate width height d points pathLength
	textLength lengthAdjust startOffset method spacing side path
	gradientUnits gradientTransform spreadMethod offset stop-color stop-opacity
	patternUnits patternContentUnits patternTransform clipPathUnits maskUnits maskContentUnits mask-type
	hatchUnits hatchContentUnits hatchTransform pitch
	markerUnits markerWidth markerHeight refX refY orient marker marker-start marker-mid marker-end
	filterUnits primitiveUnits filterRes in in2 result mode values operator k1 k2 k3 k4 order kernelMatrix
	divisor bias targetX targetY edgeMode kernelUnitLength preserveAlpha surfaceScale diffuseConstant
	specularConstant specularExponent limitingConeAngle scale xChannelSelector yChannelSelector azimuth
	elevation z pointsAtX pointsAtY pointsAtZ stdDeviation radius baseFrequency numOctaves seed stitchTiles
	tableValues slope intercept amplitude exponent flood-color flood-opacity lighting-color
	color-interpolation-filters
	fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin
	stroke-miterlimit stroke-dasharray stroke-dashoffset vector-effect paint-order color opacity
	color-interpolation color-rendering shape-rendering image-rendering text-rendering
	clip clip-path clip-rule mask filter cursor display visibility isolation mix-blend-mode pointer-events
	buffered-rendering transform-origin transform-box will-change solid-color solid-opacity
	font font-family font-size font-size-adjust font-stretch font-style font-variant font-weight
	font-feature-settings font-variation-settings font-kerning
	letter-spacing word-spacing kerning text-anchor text-align text-decoration text-indent text-transform
	text-overflow text-orientation dominant-baseline alignment-baseline baseline-shift line-height
	direction unicode-bidi writing-mode white-space inline-size shape-inside shape-padding shape-margin
	shape-subtract glyph-orientation-vertical glyph-orientation-horizontal
	horiz-adv-x horiz-origin-x horiz-origin-y vert-adv-y vert-origin-x vert-origin-y
	unicode glyph-name arabic-form orientation units-per-em panose-1 ascent descent cap-height x-height
	bbox underline-position underline-thickness unicode-range u1 u2 g1 g2 k
	attributeName attributeType begin dur end min max restart repeatCount repeatDur calcMode keyTimes
	keySplines keyPoints from to by additive accumulate origin
	viewTarget`)

var (
	xlinkAttributes = words(`type title show actuate role arcrole`)
	xmlAttributes   = words(`space lang id`)
	longAttributes  = words(`href d points values data-name`)
)

// The names that mean something to whoever reads the file as HTML, in elements
// and attributes of other namespaces.
var (
	dangerousElements = words(`
		a applet audio base body button canvas embed foreignobject form frame frameset handler head html iframe
		image img input isindex link listener listing marquee math meta noembed noframes noscript object
		plaintext portal script source style svg template textarea title track use video xmp`)
	dangerousAttributes = words(`
		action background base cite code codebase content data formaction href http-equiv longdesc manifest
		ping poster src srcdoc srcset style usemap xmlns`)
)

// title, source and their like are elements of Dublin Core, which are always
// written with a prefix: the default namespace is SVG's. What runs is refused even so.
func dangerousElement(name string) bool {
	n := strings.ToLower(name)
	return dangerousElements[n] && n != "title" && n != "source"
}

func dangerousAttribute(name string) bool { return dangerousAttributes[strings.ToLower(name)] }

func allowedAttribute(name string) bool {
	if rest, ok := strings.CutPrefix(name, "data-"); ok {
		return plainName(rest)
	}
	if rest, ok := strings.CutPrefix(name, "aria-"); ok {
		return plainName(rest)
	}
	return svgAttributes[name]
}

// words makes a set of a text.
func words(s string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(s) {
		set[w] = true
	}
	return set
}
