// Package fault marks the steps at which tests end a process or make a system
// call fail. Without the build tag fault its functions do nothing; with it the
// environment says what happens: see faults.go.
package fault
