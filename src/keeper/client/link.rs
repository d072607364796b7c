use super::{KeeperEvent, KeeperPlace, Mode, book::Book};
use std::sync::Arc;
use tokio::sync::mpsc;
pub(super) async fn run(_place: KeeperPlace, _mode: Mode, _book: Arc<Book>, _events: mpsc::Sender<KeeperEvent>) {
    unimplemented!()
}
