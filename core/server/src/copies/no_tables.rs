//! A build without PostgreSQL has no rooms and accounts to move: this is what there is instead, and there is none of it.

use lynk_copy::CopyError;

use super::MovedTables;
use crate::exit::Failure;

pub(crate) enum Relational {}

impl Relational {
    pub(crate) async fn copy_whole(
        &mut self,
        _each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) async fn catch_up(
        &mut self,
        _each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) async fn finish(
        self,
        _each: &mut impl AsyncFnMut(&'static str, u64) -> Result<(), CopyError>,
    ) -> Result<MovedTables, Failure> {
        match self {}
    }
}
