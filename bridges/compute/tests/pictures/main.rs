//! Types by first bytes, descriptions taken out, small pictures: on files that other software would make, and on broken ones.

mod files;
mod hostile;
mod small;
mod sniffed;
mod stripped;
