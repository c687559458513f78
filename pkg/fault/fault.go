//go:build !fault

// Package fault marks the steps at which tests end a process or make a system
// call fail. Without the build tag fault its functions do nothing.
package fault

// Point is a step: a process that is to die there dies.
func Point(string) {}

// Error is a step that may fail: the error that is to come of it, else nil.
func Error(string) error { return nil }
