"""A Bot API server on loopback that keeps Telegram's rules, and a client to play people with.

`python -m tests.fakes.telegram --port 0` prints one JSON line with its addresses.

Covered: getUpdates (offsets, long polling, one poller), sendMessage,
editMessageText, sendChatAction, getMe, getChatMember, setMyCommands, set-,
delete- and getWebhookInfo with deliveries, again until a 2xx;
entities, lengths and refusals by TDLib, Telegram's own parser;
private chats, groups, topics; limits with 429; faults on demand; a ledger.

Not covered: media that can be downloaded, inline mode,
privacy mode (every message is delivered; `getMe` says what it is told to say).
"""
