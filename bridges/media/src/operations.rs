//! What the operations on files look like from outside; a test compares the list with the router.

use axum::http::Method;
use lynk_api::{Operation, object_of, schema_of};
use lynk_protocol::ErrorCode::{
    self, AttachmentNotFound, AttachmentNotReady, Banned, Busy, Conflict, Draining, InvalidField,
    InvalidToken, LimitReached, NotAMember, RoomNotFound, StorageFull, TokenExpired, TooLarge, Unknown,
};

use crate::wire::{
    Announce, Announced, GetQuery, Link, LinkQuery, MediaBody, Page, PageQuery, PutQuery, UsageBody,
};

/// All of them.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let errors = |more: &[ErrorCode]| {
        let mut all = vec![Busy, Unknown, Draining];
        all.extend(more);
        all
    };
    let of = |method, path, name, summary| Operation {
        tag: "media",
        ..Operation::new(method, path, name, summary)
    };
    vec![
        Operation {
            request: Some(schema_of::<Announce>),
            success: vec![(201, Some(schema_of::<Announced>))],
            errors: errors(&[InvalidField, TooLarge, LimitReached, RoomNotFound, NotAMember, Banned]),
            ..of(
                Method::POST,
                "/v1/media",
                "announce_media",
                "Announce a picture or file; the answer has the link that its bytes are put to.",
            )
        },
        Operation {
            query: Some(object_of::<PageQuery>),
            success: vec![(200, Some(schema_of::<Page>))],
            errors: errors(&[InvalidField]),
            ..of(Method::GET, "/v1/media", "list_media", "List the caller's files, by id.")
        },
        Operation {
            success: vec![(200, Some(schema_of::<UsageBody>))],
            errors: errors(&[]),
            ..of(Method::GET, "/v1/media/usage", "media_usage", "What the caller has, and may have.")
        },
        Operation {
            success: vec![(200, Some(schema_of::<MediaBody>))],
            errors: errors(&[InvalidField, AttachmentNotFound, AttachmentNotReady]),
            ..of(Method::GET, "/v1/media/{media}", "get_media", "How far a file is, and what is known of it.")
        },
        Operation {
            success: vec![(204, None)],
            errors: errors(&[InvalidField, AttachmentNotFound, Conflict]),
            ..of(
                Method::DELETE,
                "/v1/media/{media}",
                "delete_media",
                "Delete one of the caller's files that nothing uses.",
            )
        },
        Operation {
            success: vec![(200, Some(schema_of::<MediaBody>))],
            errors: errors(&[InvalidField, AttachmentNotFound, AttachmentNotReady, StorageFull]),
            ..of(
                Method::POST,
                "/v1/media/{media}/complete",
                "complete_media",
                "Wait, for ten seconds at most, until a file whose bytes are there was looked at.",
            )
        },
        Operation {
            query: Some(object_of::<LinkQuery>),
            success: vec![(200, Some(schema_of::<Link>))],
            errors: errors(&[InvalidField, AttachmentNotFound, AttachmentNotReady]),
            ..of(
                Method::GET,
                "/v1/media/{media}/link",
                "link_media",
                "A link to a file's bytes, good for five minutes and for the caller.",
            )
        },
        Operation {
            auth: false,
            query: Some(object_of::<PutQuery>),
            takes_bytes: true,
            success: vec![(200, Some(schema_of::<MediaBody>))],
            errors: errors(&[
                InvalidField,
                InvalidToken,
                TokenExpired,
                AttachmentNotFound,
                Conflict,
                StorageFull,
            ]),
            ..of(
                Method::PUT,
                "/v1/media/{media}/content",
                "put_media",
                "Put the bytes of a file, by its link; they are looked at afterwards.",
            )
        },
        Operation {
            auth: false,
            query: Some(object_of::<GetQuery>),
            gives_bytes: true,
            success: vec![
                (200, Some(schema_of::<()>)),
                (206, Some(schema_of::<()>)),
                (304, None),
                (307, None),
            ],
            errors: errors(&[
                InvalidField,
                InvalidToken,
                TokenExpired,
                AttachmentNotFound,
                AttachmentNotReady,
            ]),
            ..of(
                Method::GET,
                "/v1/media/{media}/content",
                "get_media_content",
                "The bytes of a file, or a part of them, by a link.",
            )
        },
    ]
}
