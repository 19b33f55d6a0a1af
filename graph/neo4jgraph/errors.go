package neo4jgraph

import (
	"context"
	"errors"
	"strings"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"trellis/graph"
)

// errNotPrepared tells that the store node is gone: somebody emptied the
// database under us. The next attempt prepares it again.
var errNotPrepared = errors.New("the database holds no store")

// translate turns what the driver says into an error of the model. ctx is the
// caller's: if it ended, that is the reason, whatever the driver made of it.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var known *graph.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return graph.Wrap(graph.Canceled, context.Cause(ctx), "the request ended before the graph store answered")
	}
	var server *neo4j.Neo4jError
	if errors.As(err, &server) {
		return translateServer(server)
	}
	var usage *neo4j.UsageError
	if errors.As(err, &usage) {
		return graph.Wrap(graph.Internal, err, "the graph store was asked wrongly")
	}
	// What is left is the network, and our own limits of time.
	return graph.Wrap(graph.Unavailable, err, "the graph store cannot be reached")
}

func translateServer(e *neo4j.Neo4jError) error {
	switch {
	case strings.HasPrefix(e.Code, "Neo.ClientError.Security."):
		return graph.Wrap(graph.Unavailable, e, "the graph store refuses the login")
	case strings.HasSuffix(e.Code, ".MemoryPoolOutOfMemoryError"), strings.HasSuffix(e.Code, ".TransactionMemoryLimit"):
		return graph.Wrap(graph.TooLarge, e, "the graph store has not enough memory for this at once")
	case strings.HasPrefix(e.Code, "Neo.TransientError."),
		strings.HasPrefix(e.Code, "Neo.ClientError.Cluster."),
		strings.HasPrefix(e.Code, "Neo.ClientError.Database."),
		strings.HasPrefix(e.Code, "Neo.ClientError.Transaction."),
		strings.HasPrefix(e.Code, "Neo.DatabaseError.Database."),
		strings.HasPrefix(e.Code, "Neo.DatabaseError.Transaction."),
		strings.HasPrefix(e.Code, "Neo.DatabaseError.General."):
		return graph.Wrap(graph.Unavailable, e, "the graph store cannot do this now")
	}
	return graph.Wrap(graph.Internal, e, "the graph store refused a statement")
}

// passing tells whether the same call may succeed a moment later.
func passing(err error) bool {
	if errors.Is(err, errNotPrepared) || neo4j.IsRetryable(err) {
		return true
	}
	var server *neo4j.Neo4jError
	if errors.As(err, &server) {
		// A server that stops or starts ends transactions with these.
		return strings.HasPrefix(server.Code, "Neo.DatabaseError.Database.") ||
			strings.HasPrefix(server.Code, "Neo.DatabaseError.Transaction.") ||
			strings.HasPrefix(server.Code, "Neo.ClientError.Transaction.") ||
			server.Code == "Neo.ClientError.Database.DatabaseNotFound"
	}
	return neo4j.IsConnectivityError(err)
}
