package neo4jgraph

import (
	"fmt"
	"slices"
	"strings"

	"trellis/graph"
)

// expressions are what Lucene is to look for at a rank, or nil if nothing can
// have it. All that goes into them are folded words and tokens of such:
// letters, digits and "_".
func (f *finder) expressions(rank int) []string {
	token := f.q.Whole(f.corrected)
	var title, all []string
	for _, t := range f.q.Terms(f.corrected) {
		in := func(prop string) string {
			if len(t.Instead) == 0 {
				return prop + ":" + t.Word + "*"
			}
			return prop + ":" + strings.Join(t.Instead, " "+prop+":")
		}
		title = append(title, "+("+in(propTitle)+")")
		all = append(all, "+("+in(propTitle)+" "+in(propBody)+")")
	}
	var parts []string
	switch {
	case rank == graph.RankWhole && token == "":
		return nil
	case rank == graph.RankWhole:
		parts = []string{"+" + propWhole + ":" + token}
	case rank == graph.RankTitle && token == "":
		parts = title
	case rank == graph.RankTitle:
		parts = append(title, "-"+propWhole+":"+token)
	case token == "":
		parts = append(all, "-("+strings.Join(title, " ")+")")
	default:
		parts = append(all, "-("+strings.Join(title, " ")+")", "-"+propWhole+":"+token)
	}
	return append(parts, f.scope()...)
}

// unscored joins expressions all of which must hold. Without scores, which the
// boost of 0 says nobody needs, Lucene stops as soon as it has found as many
// as may be; with them it looks at every node that matches.
func unscored(parts ...string) string {
	return "(" + strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ") + ")^0"
}

// between looks for places from start to before end.
func between(start, end int) string {
	switch {
	case start%block != 0 || end%block != 0: // narrow
		return fmt.Sprintf("+%s:[%s TO %s]", propPlace, placeDigitsOf(start), placeDigitsOf(end-1))
	case end < places:
		return "+(" + blocks(start, end) + ")"
	case start > 0:
		return "-(" + blocks(0, start) + ")"
	}
	return ""
}

// blocks are the fewest tokens that stand for a range of whole blocks.
func blocks(start, end int) string {
	var out []string
	for start < end {
		size, digits := places/16, 1
		for start%size != 0 || start+size > end {
			size, digits = size/16, digits+1
		}
		out = append(out, propScope+":"+blockMark+placeDigitsOf(start)[:digits])
		start += size
	}
	return strings.Join(out, " ")
}

func (f *finder) scope() []string {
	var out []string
	if f.q.Types != nil {
		tokens := make([]string, len(f.q.Types))
		for i, t := range f.q.Types {
			tokens[i] = propScope + ":" + graph.TypeToken(t)
		}
		out = append(out, "+("+strings.Join(tokens, " ")+")")
	}
	if f.q.Organization != "" {
		out = append(out, "+"+propScope+":"+graph.OrganizationToken(f.q.Organization))
	}
	if f.q.Homes != nil {
		out = append(out, "+("+propScope+":"+strings.Join(f.q.HomeTokens(), " "+propScope+":")+")")
	}
	return out
}
