package leaseapi

import "fmt"

// Code is an error code of the CNI specification, or one of ours from 100.
type Code uint

// The codes that podland answers with.
const (
	CodeInvalidEnv    Code = 4
	CodeIO            Code = 5
	CodeDecode        Code = 6
	CodeConfig        Code = 7
	CodeTryAgainLater Code = 11
	CodeNotAvailable  Code = 50
	// CodeNoLease: podland holds no lease for the attachment.
	CodeNoLease Code = 100
	// CodeLeaseLost: the server took the address back.
	CodeLeaseLost Code = 101
	// CodeBridgeDown: a bridge that somebody else made is down.
	CodeBridgeDown Code = 102
	// CodeNotForwarding: the port did not reach forwarding within the budget.
	CodeNotForwarding Code = 103
	// CodeGuard: the guard could not be installed.
	CodeGuard Code = 104
	// CodeChanged: CHECK found the attachment other than ADD left it.
	CodeChanged Code = 105
	// CodeService: the node's rules for Services could not be installed.
	CodeService Code = 106
)

// Error is the body of every answer that is not a success.
type Error struct {
	Code    Code   `json:"code"`
	Msg     string `json:"msg"`
	Details string `json:"details,omitempty"`
}

func (e *Error) Error() string {
	if e.Details == "" {
		return e.Msg
	}
	return fmt.Sprintf("%s; %s", e.Msg, e.Details)
}
