// Search looks at more of a node since this step, its attributes and blocks of places: all are indexed anew
// (query/reindex). A new store has none yet, nor a store node.
MATCH (store:_Store {key: 'store'})
REMOVE store.search
