// The program knows more words of a node since this step, those of its attributes:
// all nodes are indexed anew (query/reindex). A new store has none, nor a store node.
MATCH (store:_Store {key: 'store'})
REMOVE store.search
