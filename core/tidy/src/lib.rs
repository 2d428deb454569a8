//! Nothing at run time: this package exists for its test, which reads the tree and fails on what a reviewer
//! should not have to look for.

#![forbid(unsafe_code)]
