// Package daemon is podland: it serves the lease API, settles what plugins left
// behind, and answers for the node's state. It touches the host's links and
// guard only through attachment, and Pods not at all but to look.
package daemon
