"""What may be spent in a sliding window, as a script: `spent` tells the rule.

A record is a text of columns of 16 digits: the slot in which it was written, the sum, and what
was spent in each slot, the oldest first.
"""

from privyseald.state.spent import SLOTS, WIDTH
from privyseald.state.valkey_script import Script

# KEYS: epoch, then what was spent under each name. ARGV: the epoch's record and its number, 1 to
# only look, and amount, limit and window in ms for each name. Returns 0; or the number of the
# charge that waits longest, and for how many ms.
SPEND = Script(f"""
local SLOTS, WIDTH = {SLOTS}, {WIDTH}
local NOTHING = string.rep('0', WIDTH)

local function number(text, place)
  return tonumber(string.sub(text, place * WIDTH + 1, place * WIDTH + WIDTH))
end

local function column(value)
  return string.format('%0' .. WIDTH .. '.0f', value)
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {{'epoch'}}
end
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local windows, short, longest_ms = {{}}, nil, 0
for index = 2, #KEYS do
  local amount = tonumber(ARGV[3 * index - 2])
  local limit = tonumber(ARGV[3 * index - 1])
  local window_ms = tonumber(ARGV[3 * index])
  local slot_ms = math.ceil(window_ms / SLOTS)
  local size = math.ceil(window_ms / slot_ms) + 1
  local slot = math.floor(now_ms / slot_ms)
  local record = redis.call('GET', KEYS[index])
  local sum, amounts = 0, nil
  if record and #record == (size + 2) * WIDTH then
    sum, amounts = number(record, 1), string.sub(record, 2 * WIDTH + 1)
    local gone = math.min(slot - number(record, 0), size)
    if gone > 0 then
      for place = 0, gone - 1 do
        sum = sum - number(amounts, place)
      end
      amounts = string.sub(amounts, gone * WIDTH + 1) .. string.rep(NOTHING, gone)
    end
  else
    amounts = string.rep(NOTHING, size)
  end
  local wait_ms = 0
  if amount > limit then
    wait_ms = window_ms
  elseif sum + amount > limit then
    local left, places = sum, 0
    while left + amount > limit do
      left, places = left - number(amounts, places), places + 1
    end
    wait_ms = math.min((slot + places) * slot_ms - now_ms, window_ms)
  end
  if wait_ms > longest_ms then
    short, longest_ms = index - 2, wait_ms
  end
  windows[index] = {{slot, sum + amount, amounts, amount, size * slot_ms}}
end
if short then
  return {{short, longest_ms}}
end
if ARGV[3] ~= '1' then
  for index = 2, #KEYS do
    local slot, sum, amounts, amount, life_ms = unpack(windows[index])
    local places = #amounts / WIDTH - 1
    local record = column(slot) .. column(sum) .. string.sub(amounts, 1, places * WIDTH)
      .. column(number(amounts, places) + amount)
    redis.call('SET', KEYS[index], record, 'PX', string.format('%.0f', life_ms))
  end
end
return 0
""")
