// Package house holds the tests on the repository itself: what may import what,
// what is documented, what make install puts where, and how it runs there. It touches
// nothing outside the work tree, the test's own folder and labs of its own.
package house
