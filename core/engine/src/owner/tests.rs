//! Tests of the owner.
