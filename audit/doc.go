// Package audit is the memory of what was done, refused, asked and used. It
// owns the typed records, the chain that makes tampering evident, the durable
// spool (Log) that takes a record before its caller goes on, the shipper that
// carries batches to a sink, and the contract of sinks (clickhouseaudit,
// sqliteaudit).
//
// It promises that a record it has accepted reaches the sink, once, whatever
// dies in between; that it never blocks on the sink; and that a record which
// was removed, changed or moved can be found. It knows nothing of the graph:
// nodes are text of the form type:id, and what is above a node is told by
// whoever records.
package audit
