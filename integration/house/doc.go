// Package house holds the tests on the repository itself: what may import what,
// what is documented, what make install puts where. It touches nothing outside
// the work tree and the test's own folder.
package house
