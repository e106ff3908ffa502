// Package privysealv1 has the messages and stubs of privyseal.v1, generated from the repository's
// protos. Package privyseal makes calls with them; use it rather than the stubs.
//
// Printing a SignResponse or a Session shows credentials.
package privysealv1
