package graphtest

import (
	"fmt"
	"strings"

	"trellis/graph"
)

// Values are searched, in lists and objects too; names of fields are not.
func testSearchAttributes(r *room) {
	r.putX(
		graph.Props{"name": "ledger", "description": "keeps books", "attributes": graph.JSON(`{"on-call":"Zoë Vermeer","ports":[8443,"grpc-web"],"runtime":{"language":"Erlang","versions":[{"major":27}]},"public":true,"gone":null}`)},
		graph.Props{"name": "erlang", "attributes": graph.JSON(`{"tier":"gold"}`)},
		graph.Props{"name": "gold", "attributes": graph.JSON(`{}`)},
	)
	r.finds(words("zoe vermeer"), xid(3, 0))
	r.finds(words("ledger verm"), xid(3, 0))
	r.finds(words("books 8443"), xid(3, 0))
	r.finds(words("grpc"), xid(3, 0))
	r.finds(words("erlang"), xid(3, 0), xid(1, 1))
	r.finds(words("27"), xid(3, 0))
	r.finds(words("gold"), xid(3, 1), xid(1, 2))
	for _, none := range []string{"ports", "call", "language", "major", "tier", "true", "null"} {
		r.finds(words(none))
	}
	// What is no longer a value finds nothing, what has become one does.
	r.do(putProps(r.x(1), graph.Props{"name": "erlang", "attributes": graph.JSON(`{"tier":"silver"}`)}))
	r.finds(words("gold"), xid(1, 2))
	r.finds(words("silver"), xid(3, 1))
	r.do(putProps(r.x(1), graph.Props{"name": "erlang"}))
	r.finds(words("silver"))
}

// However much is in attributes, a write is accepted and the node is found by its other texts.
func testSearchManyAttributes(r *room) {
	var list []string
	for i := range 5_000 {
		list = append(list, fmt.Sprintf(`"v%d"`, i))
	}
	deep := strings.Repeat(`{"a":`, 500) + `"bottom"` + strings.Repeat("}", 500)
	r.putX(graph.Props{"name": "heavy", "description": "weighs much", "keywords": []string{"tagged"},
		"attributes": graph.JSON(`{"deep":` + deep + `,"list":[` + strings.Join(list, ",") + `]}`)})
	r.finds(words("heavy"), xid(1, 0))
	r.finds(words("weighs tagged v7"), xid(3, 0))
	r.finds(words("v4999"))
	r.finds(words("bottom"))
}
