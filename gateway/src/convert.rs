//! The broker's types as the client protocol's, and back. One place, so that
//! neither crate knows the other.

use std::sync::Arc;

/// A publication as a client sees it. The first of an epoch also names it.
pub(crate) fn publication(
    publication: &broker::Publication,
    epoch: &Arc<str>,
) -> wire::Publication {
    wire::Publication {
        data: publication.data.clone(),
        info: publication.info.as_deref().map(client_info),
        offset: publication.offset,
        tags: publication.tags.clone(),
        epoch: if publication.offset == 1 {
            epoch.as_ref().to_owned()
        } else {
            String::new()
        },
        ..wire::Publication::default()
    }
}

/// A client as others see it.
pub(crate) fn client_info(info: &broker::ClientInfo) -> wire::ClientInfo {
    wire::ClientInfo {
        user: info.user.clone(),
        client: info.client.clone(),
        conn_info: info.conn_info.clone(),
        chan_info: info.chan_info.clone(),
    }
}
