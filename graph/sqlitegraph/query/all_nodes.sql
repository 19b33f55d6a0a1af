-- Every node, in order.
SELECT ref, names, props, created, updated, revision FROM node ORDER BY ref
