package backstage

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"trellis/cmd/trellis/wanted"
)

// qualified is the name of an entity within an organization: with its namespace,
// unless that is the one everything is in.
func qualified(r Ref) string {
	if r.Namespace == defaultNamespace {
		return r.Name
	}
	return r.Namespace + "." + r.Name
}

// maxSlug is the length of the longest slug.
const maxSlug = 100

// Slug returns the slug of the team or the project that an entity becomes. It
// depends on nothing but the reference. Components and groups have their name
// as it is; other kinds are told apart from a component of the same name by
// their kind at the end, namespaces stand at the front.
func Slug(r Ref) string {
	text := qualified(r)
	if r.Kind != kindComponent && r.Kind != kindGroup {
		text += "." + r.Kind
	}
	if len(text) <= maxSlug {
		return wanted.Slug(text)
	}
	sum := sha256.Sum256([]byte(text))
	mark := "-" + hex.EncodeToString(sum[:4])
	return wanted.Slug(wanted.Clip(text, maxSlug-len(mark)) + mark)
}

// signs are written out, as people do.
var signs = strings.NewReplacer("++", "plusplus", "+", "plus", "#", "sharp", ":", ".")

// tagSlug returns the slug of a tag.
func tagSlug(tag string) string { return wanted.Slug(signs.Replace(tag)) }
