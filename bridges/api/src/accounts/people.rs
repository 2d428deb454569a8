//! People: one's own profile, and finding others.

use std::collections::BTreeSet;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lynk_auth::Claims;
use lynk_domain::{MediaId, UserId};
use lynk_model::account::{
    ACCOUNTS_PER_QUESTION_MAX, Account, AccountChange, FoundAccounts, SearchMark, USER_NAME_CHARS_MAX,
    search_along,
};
use lynk_model::search_words;
use lynk_protocol::{ErrorCode, Reject};

use super::handlers::{Answer, Body};
use super::service::{Actions, folded};
use super::{AccountsState, names, wire};
use crate::Caller;
use crate::body::Json;

/// People on a page of a search when the client names no number, and at most.
const FOUND_DEFAULT: u32 = 20;
const FOUND_MAX: u32 = 50;
/// Longest text to look for, in characters, and its words.
const SEARCH_CHARS_MAX: usize = 64;
const SEARCH_WORDS: usize = 8;

/// `PATCH /v1/me`
pub(super) async fn change_me(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    Json(body): Json<wire::ProfileBody>,
) -> Answer<Body<wire::Me>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let user_name = body.user_name.as_deref().map(names::user_name).transpose()?;
    let bio = body.bio.as_deref().map(names::bio).transpose()?;
    let picture = body.avatar.as_ref().map(|avatar| picture_of(avatar.as_deref())).transpose()?;
    let avatar = picture.map(|picture| Some(picture.0).filter(|id| *id != MediaId::NIL.0));
    let change = AccountChange { user_name, bio, avatar, ..AccountChange::default() };
    let changed = match picture {
        None => change_account(&state, claims, change, body.display_name).await,
        Some(picture) => {
            let work = change_picture(state, claims, picture, change, body.display_name);
            // To its end, whether or not somebody waits for it: a picture is taken, named, and the one before is given back.
            tokio::spawn(work).await.unwrap_or_else(|_| Err(ErrorCode::Internal.into()))
        }
    };
    Ok(axum::Json((&changed?).into()))
}

/// The picture that somebody wants; nil for none.
fn picture_of(text: Option<&str>) -> Result<MediaId, Reject> {
    let wrong = || Reject::because(ErrorCode::InvalidField, "avatar must be the id of a picture, or null");
    let Some(text) = text else { return Ok(MediaId::NIL) };
    MediaId::parse(text).filter(|id| !id.is_nil()).ok_or_else(wrong)
}

async fn change_account(
    state: &AccountsState,
    claims: Claims,
    change: AccountChange,
    display_name: Option<String>,
) -> Result<Account, Reject> {
    let now = (state.clock)();
    let ask = move |desk: &mut dyn Actions| {
        let display_name = match display_name.as_deref() {
            None => None,
            // Without one, the user name is shown: the new one, if that changes too.
            Some(text) => {
                let shown = match &change.user_name {
                    Some(user_name) => user_name.clone(),
                    None => desk.me(&claims)?.user_name,
                };
                Some(names::display_name(Some(text), &shown)?)
            }
        };
        desk.change(now, &claims, AccountChange { display_name, ..change })
    };
    state.desk.ask(ask).await
}

async fn change_picture(
    state: AccountsState,
    claims: Claims,
    picture: MediaId,
    change: AccountChange,
    display_name: Option<String>,
) -> Result<Account, Reject> {
    let _alone = state.avatar_changes.lock().await;
    if !picture.is_nil() {
        state.avatars.take(claims.user, picture).await?;
    }
    let changed = change_account(&state, claims, change, display_name).await;
    let account = match &changed {
        Ok(account) => Some(account.clone()),
        // What was taken is given back, if it is known what the account has.
        Err(_) => state.desk.ask(move |desk| desk.me(&claims)).await.ok(),
    };
    if let Some(account) = account {
        let kept = state.avatars.keep(account.user, account.avatar.map_or(MediaId::NIL, MediaId)).await;
        // Whoever is told that it failed repeats the change, and with it this.
        if changed.is_ok() {
            kept?;
        }
    }
    changed
}

/// `GET /v1/users`
pub(super) async fn users(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    query: Result<Query<wire::UsersQuery>, QueryRejection>,
) -> Answer<Body<wire::Users>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let wrong =
        || Reject::because(ErrorCode::InvalidField, "ids must be 1 to 100 user ids, separated by commas");
    let Query(wire::UsersQuery { ids }) = query.map_err(|_| wrong())?;
    let mut users = Vec::new();
    for text in ids.split(',') {
        let user =
            wire::user_id(text).filter(|_| users.len() < ACCOUNTS_PER_QUESTION_MAX).ok_or_else(wrong)?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    let accounts = state.desk.ask(move |desk| desk.users(&users)).await?;
    let hidden = hidden(&state, claims.user, &accounts).await?;
    let users = accounts.iter().filter(|one| !hidden.contains(&one.user)).map(wire::User::from).collect();
    Ok(axum::Json(wire::Users { users }))
}

/// `GET /v1/users/by_name/{user_name}`
pub(super) async fn user_of_name(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    name: Result<Path<String>, PathRejection>,
) -> Answer<Body<wire::User>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let missing = ErrorCode::UserNotFound;
    let Path(name) = name.map_err(|_| missing)?;
    if name.chars().count() > USER_NAME_CHARS_MAX {
        return Err(missing.into());
    }
    let account = state.desk.ask(move |desk| desk.user_of_name(&folded(&name))).await?;
    let accounts = [account];
    if hidden(&state, claims.user, &accounts).await?.contains(&accounts[0].user) {
        return Err(missing.into());
    }
    Ok(axum::Json((&accounts[0]).into()))
}

/// `GET /v1/users/search`
pub(super) async fn search(
    State(state): State<AccountsState>,
    Caller { claims }: Caller,
    query: Result<Query<wire::SearchQuery>, QueryRejection>,
) -> Answer<Body<wire::FoundUsers>> {
    state.pace.take((state.clock)().mono, claims.user)?;
    let wrong = |what: &'static str| Reject::because(ErrorCode::InvalidField, what);
    let Query(wire::SearchQuery { q, limit, after }) =
        query.map_err(|_| wrong("the query must have q, and may have limit and after, once each"))?;
    let limit = limit.unwrap_or(FOUND_DEFAULT);
    if !(1..=FOUND_MAX).contains(&limit) {
        return Err(wrong("limit must be 1 to 50").into());
    }
    let words = words(&q)?;
    let after = match after {
        Some(text) => Some(mark_of(&text).ok_or_else(|| wrong("after must be `next` of a page"))?),
        None => None,
    };
    let found = state.desk.ask(move |desk| desk.search(&words, after.as_ref(), limit)).await?;
    let FoundAccounts { accounts, next } = found;
    let hidden = hidden(&state, claims.user, &accounts).await?;
    let seen = |one: &&Account| one.user != claims.user && !hidden.contains(&one.user);
    let users = accounts.iter().filter(seen).map(wire::User::from).collect();
    Ok(axum::Json(wire::FoundUsers { users, next: next.as_ref().map(text_of) }))
}

/// What is looked for. One letter of an alphabet finds everybody, so it takes two; a sign that stands for a word is one.
fn words(text: &str) -> Result<Vec<String>, Reject> {
    let words = if text.chars().count() > SEARCH_CHARS_MAX { Vec::new() } else { search_words(text) };
    let long = search_along(&words).is_some_and(|(word, _)| word.chars().count() > 1 || !word.is_ascii());
    if !long || words.len() > SEARCH_WORDS {
        return Err(Reject::because(
            ErrorCode::InvalidField,
            "q must be 1 to 8 beginnings of words, at most 64 characters, one of them of two letters",
        ));
    }
    Ok(words)
}

/// A mark as a client keeps it: the id, then the word.
fn text_of(mark: &SearchMark) -> String {
    URL_SAFE_NO_PAD.encode([&mark.user.0[..], mark.word.as_bytes()].concat())
}

fn mark_of(text: &str) -> Option<SearchMark> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (user, word) = bytes.split_first_chunk()?;
    Some(SearchMark { user: UserId(*user), word: std::str::from_utf8(word).ok()?.to_owned() })
}

/// Which of `accounts` a user may not see.
async fn hidden(state: &AccountsState, asker: UserId, accounts: &[Account]) -> Answer<BTreeSet<UserId>> {
    let others: Vec<UserId> = accounts.iter().map(|one| one.user).filter(|user| *user != asker).collect();
    if others.is_empty() {
        return Ok(BTreeSet::new());
    }
    Ok(state.blocks.across(asker, &others).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_from_its_text() {
        let mark = SearchMark { word: "straße".to_owned(), user: UserId([7; 16]) };
        assert_eq!(mark_of(&text_of(&mark)), Some(mark));
        for bad in ["", "AAAA", "!", "____________________________"] {
            assert_eq!(mark_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_would_find_everybody_is_refused() {
        assert_eq!(words("Ada  LOV").as_deref(), Ok(&["ada".to_owned(), "lov".to_owned()][..]));
        assert!(words("田").is_ok() && words("a bc").is_ok());
        for bad in ["", " ", "?!", "a", "a b c", "a b c d e f g h ij", &"x".repeat(65)] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
    }
}
