// Package kubernetesorg holds the Kubernetes project's GitHub organizations
// as files, for `trellis serve --demo`; see README.md beside it.
package kubernetesorg

import "embed"

// Files has one folder an organization.
//
//go:embed etcd-io kubernetes kubernetes-client kubernetes-csi kubernetes-incubator kubernetes-nightly kubernetes-retired kubernetes-sigs
var Files embed.FS
