//! What an operator should think about, read from the records beside the server: `birthmark check` says it.
//!
//! Nothing here is wrong, and nothing is changed.

use fleet::page::PageRequest;
use fleet::record::CaStatus;
use identity::Tenant;
use store::{LocalRecords, Records as _, wait};

use crate::config::Config;
use crate::error::Error;
use crate::limits::MANIFEST_PAGES_MAX;

/// CAs that let in whatever they signed: ACTIVE, with automatic registration, and their gate open.
///
/// # Errors
/// A setting cannot be, or the records cannot be read.
pub fn open_gates(config: &Config) -> Result<Vec<String>, Error> {
    let plan = config.plan()?;
    let records = match LocalRecords::open_to_read(&plan.data_dir) {
        // Nothing was ever kept.
        Err(store::Error::Directory { .. }) => return Ok(Vec::new()),
        records => records.map_err(Error::Store)?,
    };
    let mut open = Vec::new();
    for account in plan.accounts() {
        let tenant = Tenant {
            account,
            ..plan.tenant
        };
        let mut page = PageRequest {
            size: fleet::limits::PAGE_ITEMS_MAX,
            after: None,
            ascending: true,
        };
        for _ in 0..MANIFEST_PAGES_MAX {
            let found = wait(records.list_cas(&tenant, page)).map_err(Error::Store)?;
            let wide = found
                .items
                .iter()
                .filter(|ca| ca.status == CaStatus::Active && ca.auto_registration && !ca.gated);
            open.extend(wide.map(|ca| ca.id.to_string()));
            page.after = found.next;
            if page.after.is_none() {
                break;
            }
        }
    }
    open.dedup();
    Ok(open)
}
