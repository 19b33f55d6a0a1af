package storagetest

import (
	"slices"
	"strings"

	"trellis/storage"
)

var listCases = []testCase{
	{name: "ListIsInOrderAndPaged", run: listPaged},
	{name: "ListOfNothing", run: listOfNothing},
}

func listPaged(r *room) {
	r.needs(Order)
	keys := []storage.Key{
		"a", "a-b", "a.b", "a/b", "a/b-c", "a/b/c", "a/b/d", "a/c", "a0", "aa", "b", "b/a", "b-/a", "b./a", "b0/a", "c/d/e/f/g", "c/d/e/f-g", "z",
	}
	if !r.has(Both) {
		keys = slices.DeleteFunc(keys, func(k storage.Key) bool {
			return slices.ContainsFunc(keys, func(other storage.Key) bool { return strings.HasPrefix(string(other), string(k)+"/") })
		})
	}
	sizes := map[storage.Key]int64{}
	for i, key := range keys {
		r.put(key, Bytes(i, 1))
		sizes[key] = int64(i)
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "b", "c/d/e", "c/d/e/f/g", "n", "/", ".."} {
		for _, after := range []storage.Key{"", "0", "a", "a/a", "a/b", "a/b/c", "b-", "z"} {
			for _, limit := range []int{0, 3, 5000} {
				var want []storage.Key
				for _, k := range keys {
					if strings.HasPrefix(string(k), prefix) && k > after && len(want) < limit {
						want = append(want, k)
					}
				}
				r.lists(prefix, after, limit, want, sizes)
			}
		}
	}
}

func (r *room) lists(prefix string, after storage.Key, limit int, want []storage.Key, sizes map[storage.Key]int64) {
	r.Helper()
	found, err := r.blobs.List(r.ctx, prefix, after, limit)
	if err != nil {
		r.Errorf("list %q after %q: %v", prefix, after, err)
		return
	}
	var got []storage.Key
	for _, info := range found {
		got = append(got, info.Key)
		if info.Size != sizes[info.Key] || info.Modified.IsZero() {
			r.Errorf("%+v, want size %d", info, sizes[info.Key])
		}
	}
	if !slices.Equal(got, want) {
		r.Errorf("list %q after %q, %d: %q, want %q", prefix, after, limit, got, want)
	}
}

func listOfNothing(r *room) {
	for _, prefix := range []string{"", "a", "a/", "a/b"} {
		r.lists(prefix, "", 10, nil, nil)
	}
	r.put("a/b/c", Bytes(1, 1))
	if err := r.blobs.Delete(r.ctx, "a/b/c"); err != nil {
		r.Fatal(err)
	}
	r.lists("", "", 10, nil, nil)
	r.put("a/b", Bytes(1, 1))
	r.lists("", "", 10, []storage.Key{"a/b"}, map[storage.Key]int64{"a/b": 1})
}
