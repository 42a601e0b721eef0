"""help.*: the addresses of the data centres."""

from __future__ import annotations

import time

from telethon.tl import functions, types

from support.ports import HOST

from .. import tl
from ..rpc import Call, method

CONFIG_LIFE = 3600

# Limits that clients are sent. Telethon uses none of them.
LIMITS = {
    "chat_size_max": 200,
    "megagroup_size_max": 200_000,
    "forwarded_count_max": 100,
    "online_update_period_ms": 210_000,
    "offline_blur_timeout_ms": 5_000,
    "offline_idle_timeout_ms": 30_000,
    "online_cloud_timeout_ms": 300_000,
    "notify_cloud_delay_ms": 30_000,
    "notify_default_delay_ms": 1_500,
    "push_chat_period_ms": 60_000,
    "push_chat_limit": 2,
    "saved_gifs_limit": 200,
    "edit_time_limit": 172_800,
    "revoke_time_limit": 2**31 - 1,
    "revoke_pm_time_limit": 2**31 - 1,
    "rating_e_decay": 2_419_200,
    "stickers_recent_limit": 200,
    "stickers_faved_limit": 5,
    "channels_read_media_period": 604_800,
    "pinned_dialogs_count_max": 5,
    "pinned_infolder_count_max": 100,
    "call_receive_timeout_ms": 20_000,
    "call_ring_timeout_ms": 90_000,
    "call_connect_timeout_ms": 30_000,
    "call_packet_timeout_ms": 10_000,
    "caption_length_max": 1_024,
    "message_length_max": 4_096,
}


@method(functions.help.GetConfigRequest, anonymous=True)
def get_config(call: Call, _request: functions.help.GetConfigRequest) -> types.Config:
    now = int(time.time())
    here = call.connection.dc.dc_id
    return tl.build(
        types.Config,
        date=now,
        expires=now + CONFIG_LIFE,
        test_mode=False,
        this_dc=here,
        webfile_dc_id=here,
        dc_options=[types.DcOption(dc.dc_id, HOST, dc.port) for dc in call.telegram.dcs.values()],
        dc_txt_domain_name="localhost",
        me_url_prefix="https://t.me/",
        **LIMITS,
    )
