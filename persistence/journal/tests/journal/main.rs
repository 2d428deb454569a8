//! The journal as a whole over a disk that tears, reorders, loses, fills up and stops.

#![forbid(unsafe_code)]

mod crash;
mod damage;
mod drain;
mod full;
mod golden;
mod harness;
mod publish;
mod threads;
