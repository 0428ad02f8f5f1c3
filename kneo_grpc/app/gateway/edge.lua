-- The edge of the JSON interface: what may come in, and how errors go out.
-- Runs after grpc_web and buffer, before the transcoder: requests are seen as they came, answers as
-- they leave. bodies.lua stands before this file.

local STATE = "kneo.edge"
local LUA_ROUTE = "envoy.filters.http.lua"

-- Error codes for a gRPC status that came without x-kneo-error-json.
local CODES = {
  ["1"] = "cancelled", ["3"] = "invalid_request", ["4"] = "deadline_exceeded", ["5"] = "not_found",
  ["6"] = "conflict", ["7"] = "forbidden", ["8"] = "resource_exhausted", ["9"] = "conflict",
  ["10"] = "conflict", ["11"] = "invalid_request", ["12"] = "not_implemented",
  ["14"] = "unavailable", ["16"] = "unauthorized",
}
-- What a caller reads then. Never the backend's text: nobody has checked it for secrets.
local MESSAGES = {
  cancelled = "The call was cancelled.",
  conflict = "The request does not fit the present state.",
  deadline_exceeded = "The service did not answer in time.",
  forbidden = "The caller may not do this.",
  internal_error = "The service failed.",
  invalid_request = "The request cannot be understood.",
  not_found = "There is no such thing.",
  not_implemented = "The service does not offer this.",
  resource_exhausted = "The request exceeds a limit.",
  unauthorized = "A valid API key is needed.",
  unavailable = "The service cannot be reached; try again later.",
}

local function starts(text, prefix)
  return string.sub(text, 1, #prefix) == prefix
end

local function quoted(text)
  if text == nil then return "null" end
  local safe = string.gsub(text, '[%c"\\\127-\255]', function(c)
    return string.format("\\u%04x", string.byte(c))
  end)
  return '"' .. safe .. '"'
end

local function envelope(code, message, request_id, extras)
  local inner = '"error":' .. quoted(code) .. ',"message":' .. quoted(message)
  local outer = inner .. ',"request_id":' .. quoted(request_id)
  if extras ~= nil then inner, outer = inner .. "," .. extras, outer .. "," .. extras end
  return "{" .. outer .. ',"detail":{' .. inner .. "}}"
end

-- What a request calls itself or its fields returns in answers and stands in logs. The service
-- blanks what it says (kneo_grpc/domain/redaction); here a name that looks secret is not repeated.
-- Spaces have become underscores by then.
local SECRETS = {
  "%f[%w]sk%-" .. string.rep("[%w_%-]", 12), "AKIA" .. string.rep("%w", 16), "ASIA" .. string.rep("%w", 16),
  "gh[opusr]_" .. string.rep("%w", 20), "github_pat_", "AIza" .. string.rep("[%w_%-]", 30), "eyJ[%w_%-]+%.eyJ",
  "[%w_%%+%-]@[%w%-]+%.%a%a", "%f[%w]%d%d%d%-%d%d%-%d%d%d%d", "passphrase[%s_]*[=:]", "passw%w*[%s_]*[=:]",
  "secret[%s_]*[=:]", "token[%s_]*[=:]", "key[%s_]*[=:]", "credentials?[%s_]*[=:]", "authorization[%s_]*[=:]",
  "cookie[%s_]*[=:]", "bearer[%s_+]", "basic[%s_+]", "digest[%s_+]", "negotiate[%s_+]", "ntlm[%s_+]", "token[%s_+]",
  "://[^/]*:[^/]*@",
}
local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function has_secret(text)
  local low = string.lower(text)
  for _, pattern in ipairs(SECRETS) do
    if string.find(text, pattern) or string.find(low, pattern) then return true end
  end
  return false
end

local function decoded(run)
  local bytes, held, bits = {}, 0, 0
  for c in string.gmatch(run, ".") do
    held, bits = held * 64 + string.find(BASE64, c, 1, true) - 1, bits + 6
    if bits >= 8 then
      bits = bits - 8
      bytes[#bytes + 1] = string.char(math.floor(held / 2 ^ bits))
      held = held % 2 ^ bits
    end
  end
  return table.concat(bytes)
end

local function looks_secret(text)
  if has_secret(text) then return true end
  for run in string.gmatch(text, string.rep("[%w+/]", 16) .. "[%w+/]*") do
    for offset = 1, 4 do
      if has_secret(decoded(string.sub(run, offset))) then return true end
    end
  end
  return false
end

-- A fault in a request, told without its values: they may be secrets. Returns code, message, extras.
local function fault_of(text)
  local field = string.match(text, '^Could not find field "([%w_.%-]+)" in the type')
  if field ~= nil then
    if looks_secret(field) then return "unknown_query_parameters", "Unknown query parameter." end
    field = string.sub(field, 1, 64)
    return "unknown_query_parameters", "Unknown query parameter: " .. field .. ".", '"unknown":[' .. quoted(field) .. "]"
  end
  field = string.match(text, "of the field ([%w_.]+) is conflicting with")
  if field ~= nil then
    return "invalid_request", field .. ": the path and the body disagree."
  end
  field = string.match(text, "scalar field for type ([%w_.]+)$") or string.match(text, "^([%w_.%[%]]+): invalid value ")
  if field ~= nil and not looks_secret(field) then
    return "invalid_request", string.sub(field, 1, 128) .. ": a value of another type is expected."
  end
  if string.find(text, "Root element must be a message", 1, true) then
    return "invalid_request", "The body must be a JSON object."
  end
  if string.find(text, "field is not repeating", 1, true) then
    return "invalid_request", "A list stands where the field takes none."
  end
  -- The JSON parser says what it expected in the first line, and quotes the body below.
  local first = string.match(text, "^([%a%d :,./{}%[%]%-]+)\n")
  if first ~= nil then return "invalid_request", "Malformed JSON: " .. first end
  return "invalid_request", "The request cannot be understood."
end

local function remove_matching(headers, matches)
  local names = {}
  for name, _ in pairs(headers) do
    if matches(name) then names[#names + 1] = name end
  end
  for _, name in ipairs(names) do headers:remove(name) end
end

local function is_inner(name)
  return starts(name, "x-kneo-") or starts(name, "grpc-")
end

-- A web page may send a POST without a body and type to any host; only our own pages may act.
local function is_foreign_page(handle, headers)
  local origin = headers:get("origin")
  if origin == nil then return false end
  if string.match(string.lower(origin), "^https?://(.*)$") == string.lower(headers:get(":authority") or "") then
    return false
  end
  for _, allowed in pairs(handle:metadata():get("cors_origins") or {}) do
    if allowed == "*" or allowed == origin then return false end
  end
  return true
end

local function is_acceptable(handle, headers)
  local media = headers:get("content-type")
  if media ~= nil then
    return string.match(string.lower(media), "^%s*([^;%s]*)%s*;?") == "application/json"
  end
  if is_foreign_page(handle, headers) then return false end
  local length = headers:get("content-length")
  if length ~= nil then return length == "0" end
  -- HTTP/2 tells only by the stream's end whether there is a body.
  return handle:body() == nil
end

-- A field that the contract lacks is told by its name only, and only by a plain one.
local function shown_name(name)
  if looks_secret(name) then return "?" end
  return string.sub(string.gsub(name, "[^%w_.%-]", "_"), 1, 64)
end

local function unknown_fields(names, request_id)
  local faults = {}
  for _, name in ipairs(names) do
    faults[#faults + 1] = '{"field":' .. quoted(shown_name(name)) .. ',"message":"is not known"}'
  end
  local message = shown_name(names[1]) .. ": is not known"
  if #names > 1 then message = message .. " (and " .. (#names - 1) .. " more)" end
  return envelope("validation_error", message, request_id, '"fields":[' .. table.concat(faults, ",") .. "]")
end

-- Answers a body that holds what the contract does not know. The answer passes envoy_on_response.
local function check_body(handle, fields, request_id)
  local buffer = handle:body()
  if buffer == nil then return end
  -- Waiting for the body ended the life of what was taken before.
  local state = handle:streamInfo():dynamicMetadata()
  local message, names = fault_in(tostring(buffer:getBytes(0, buffer:length())), fields)
  if message ~= nil then
    state:set(STATE, "fault", envelope("invalid_request", message, request_id))
  elseif names ~= nil then
    state:set(STATE, "fault", unknown_fields(names, request_id))
    state:set(STATE, "fault_status", "422")
  else
    return
  end
  handle:respond({[":status"] = "400"}, "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local native = starts(string.lower(headers:get("content-type") or ""), "application/grpc")
  local sent = headers:get("x-request-id") or ""
  local id = sent
  if #id > 128 or string.find(id, "[^%w%-_.:/+=@]") then
    -- It returns in a header and in JSON, and stands in logs: plain characters only.
    id = string.sub(string.gsub(id, "[^%w%-_.:/+=@]", "_"), 1, 128)
  end
  if looks_secret(sent) or looks_secret(id) then
    id = "req-" .. handle:timestampString(EnvoyTimestampResolution.MICROSECOND) .. "-" .. math.random(1000000)
  end
  if id ~= sent then headers:replace("x-request-id", id) end
  local state = handle:streamInfo():dynamicMetadata()
  if native then
    state:set(STATE, "native", true)
    return
  end
  state:set(STATE, "request_id", id)
  local method = headers:get(":method")
  if method == "GET" or method == "HEAD" or method == "OPTIONS" then return end
  local fields = fields_of(method, headers:get(":path") or "")
  if not is_acceptable(handle, headers) then
    handle:respond({[":status"] = "415"}, "")
  elseif fields ~= nil then
    check_body(handle, fields, id)
  end
end

-- Waiting for a body ends the life of every object taken from the handle before.
local function replace_body(handle, buffer, body)
  local length = buffer:setBytes(body)
  handle:headers():replace("content-type", "application/json")
  handle:headers():replace("content-length", tostring(length))
end

local function tell_fault(handle, state, request_id)
  local buffer = handle:body(true)
  if state["fault"] ~= nil then
    if state["fault_status"] ~= nil then handle:headers():replace(":status", state["fault_status"]) end
    replace_body(handle, buffer, state["fault"])
    return
  end
  local code, message, extras = fault_of(tostring(buffer:getBytes(0, buffer:length())))
  if code == "unknown_query_parameters" then handle:headers():replace(":status", "422") end
  replace_body(handle, buffer, envelope(code, message, request_id, extras))
end

-- The last status that the service gave, of at least `floor`.
local function status_of(text, floor)
  local status = string.match(text or "", "([2-5]%d%d)$")
  if status ~= nil and tonumber(status) >= floor then return status end
  return nil
end

local function tell_error(handle, outcome, request_id)
  -- Where the service had sent initial metadata, the error comes in trailers: the first call meets
  -- them in place of a body and returns nothing, the second one makes a body.
  local buffer = handle:body(true) or handle:body(true)
  local headers, trailers = handle:headers(), handle:trailers()
  local told = {}
  for _, name in ipairs({"x-kneo-error-json", "x-kneo-http-status", "retry-after", "www-authenticate"}) do
    told[name] = (trailers ~= nil and trailers:get(name)) or headers:get(name)
  end
  local status = status_of(told["x-kneo-http-status"], 400)
  if status ~= nil then headers:replace(":status", status) end
  for _, name in ipairs({"retry-after", "www-authenticate"}) do
    if told[name] then headers:replace(name, told[name]) end
  end
  if trailers ~= nil then remove_matching(trailers, is_inner) end
  local code = CODES[outcome] or "internal_error"
  replace_body(handle, buffer, told["x-kneo-error-json"] or envelope(code, MESSAGES[code], request_id))
end

function envoy_on_response(handle)
  local state = handle:streamInfo():dynamicMetadata():get(STATE)
  local headers = handle:headers()
  if state == nil then
    -- Refused before the request came here.
    state = {native = starts(headers:get("content-type") or "", "application/grpc")}
  end
  if state["native"] then return end
  local outcome = headers:get("grpc-status")
  if headers:get("x-kneo-reply") == "bad_request" then
    tell_fault(handle, state, state["request_id"])
  elseif outcome ~= nil and outcome ~= "0" then
    tell_error(handle, outcome, state["request_id"])
  else
    local status = status_of(headers:get("x-kneo-http-status"), 200)
    if status ~= nil then headers:replace(":status", status) end
  end
  headers = handle:headers()
  if headers:get(":status") == "401" and headers:get("www-authenticate") == nil then
    headers:add("www-authenticate", "Bearer")
  end
end
