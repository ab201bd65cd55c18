//! The table of the protocol's messages. Macros make everything that exists once for each message from this table.

/// The largest payload of any message, in bytes: 32 MiB, by the protocol.
pub const MAX_PAYLOAD: u32 = 32 * 1024 * 1024;

/// Calls a macro with the table of the protocol's 25 messages, one row each:
///
/// - the variant of [`Message`](super::Message) and [`Command`](super::Command),
/// - the payload type, with `in Box` if `Message` boxes it,
/// - the command on the wire,
/// - the largest payload in bytes, by the protocol,
/// - the listener callback,
/// - what the message does, for the documentation: a sentence that begins with a verb and has no subject.
macro_rules! for_each_message {
    ($macro:ident) => {
        $macro! {
            Version Version in Box "version" 394, on_version, "introduces a node.";
            VerAck VerAck "verack" 0, on_verack, "acknowledges a `version`.";
            GetAddr GetAddr "getaddr" 22, on_get_addr, "asks for addresses of nodes.";
            Addr Addr "addr" 22 + 9 + 1000 * 34, on_addr, "carries addresses of nodes.";
            GetBlockInvs GetBlockInvs "getblockinvs" 64, on_get_block_invs, "asks for the inventory of the blocks between two blocks.";
            Inv Inv "inv" 9 + 131_072 * 36, on_inv, "announces blocks and transactions.";
            GetData GetData "getdata" 9 + 131_072 * 36, on_get_data, "asks for blocks and transactions.";
            NotFound NotFound "notfound" 9 + 131_072 * 36, on_not_found, "names the requested items that the sender does not have.";
            Block Block "block" $crate::wire::MAX_PAYLOAD, on_block, "carries a block.";
            Tx Transaction "tx" $crate::wire::MAX_PAYLOAD, on_tx, "carries a transaction.";
            GetHeaders GetHeaders "getheaders" 64, on_get_headers, "asks for the headers between two blocks.";
            Headers Headers "headers" 9 + 2000 * (121 + 255 * 32 + 1), on_headers, "carries block headers.";
            Ping Ping "ping" 8, on_ping, "asks for a `pong`.";
            Pong Pong "pong" 8, on_pong, "answers a `ping`.";
            FilterLoad FilterLoad "filterload" 3 + 36_000 + 9, on_filter_load, "sets a bloom filter.";
            FilterAdd FilterAdd "filteradd" 3 + 520, on_filter_add, "adds data to the bloom filter.";
            FilterClear FilterClear "filterclear" 0, on_filter_clear, "removes the bloom filter.";
            MerkleBlock MerkleBlock in Box "merkleblock" $crate::wire::MAX_PAYLOAD, on_merkle_block, "carries the header of a block, and the hashes that prove which of its transactions match the bloom filter.";
            Reject Reject in Box "reject" $crate::wire::MAX_PAYLOAD, on_reject, "says why a message was rejected.";
            SendHeaders SendHeaders "sendheaders" 0, on_send_headers, "asks the receiver to announce new blocks with `headers`.";
            FeeFilter FeeFilter "feefilter" 8, on_fee_filter, "asks the receiver to announce only transactions that pay at least a minimum fee.";
            GetLocator GetLocator "getlocator" 64, on_get_locator, "asks for a [`locator`](crate::wire::Locator): block hashes at growing distances, from one block down to another.";
            Locator Locator "locator" 9 + 500 * 32, on_locator, "carries block hashes at growing distances from the tip, with which a node finds the last block that both nodes have.";
            GetSelectedTip GetSelectedTip "getseltip" 0, on_get_selected_tip, "asks for the selected tip.";
            SelectedTip SelectedTip "selectedtip" 32, on_selected_tip, "carries the hash of the selected tip.";
        }
    };
}
pub(crate) use for_each_message;

/// Calls a macro with each request of the table above whose answer is exactly one message, and with the type of the
/// answer.
macro_rules! for_each_request {
    ($macro:ident) => {
        $macro! {
            GetAddr Addr;
            GetBlockInvs Inv;
            GetHeaders Headers;
            GetLocator Locator;
            GetSelectedTip SelectedTip;
        }
    };
}
pub(super) use for_each_request;

#[cfg(test)]
mod tests {
    use crate::wire::*;

    #[test]
    fn limits_fit_the_largest_message_that_can_be_encoded() {
        // A count is a varint and is allowed 9 bytes, whatever its size.
        let inventory = Inv { items: vec![Inventory::tx(Hash::ZERO); MAX_INVENTORY] };
        assert_eq!(Command::Inv.payload_limit() as usize, inventory.encoded_len() + 9 - 5);
        let header = BlockHeader { parents: vec![Hash::ZERO; BlockHeader::MAX_PARENTS], ..BlockHeader::default() };
        let headers = Headers { headers: vec![header; Headers::MAX] };
        assert_eq!(Command::Headers.payload_limit() as usize, headers.encoded_len() + 9 - 3);
        let locator = Locator { hashes: vec![Hash::ZERO; Locator::MAX] };
        assert_eq!(Command::Locator.payload_limit() as usize, locator.encoded_len() + 9 - 3);
        let scope = AddressScope::Subnetwork(SubnetworkId::NATIVE);
        let addr = Addr { scope, addresses: vec![TimedAddress::default(); Addr::MAX] };
        assert_eq!(Command::Addr.payload_limit() as usize, addr.encoded_len() + 9 - 3);
        let add = FilterAdd { data: vec![0; FilterAdd::MAX] };
        assert_eq!(Command::FilterAdd.payload_limit() as usize, add.encoded_len());
        let load = FilterLoad { filter: vec![0; FilterLoad::MAX_FILTER], ..FilterLoad::default() };
        assert_eq!(Command::FilterLoad.payload_limit() as usize, load.encoded_len());
    }
}
