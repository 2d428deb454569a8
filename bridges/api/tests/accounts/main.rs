//! Accounts over a real listener and the real store, with a clock and a carrier of the test's own.

mod carrier;
mod demanded;
mod factors;
mod names;
mod people;
mod refresh;
mod rival;
mod secrets;
mod sessions;
mod shape;
mod sign_in;
mod support;
