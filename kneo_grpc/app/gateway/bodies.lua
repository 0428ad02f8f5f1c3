-- What a JSON body may hold: the transcoder drops fields that it does not know, and of a field told
-- twice it keeps one. BODIES, made from the contract, stands before this file: by method and path
-- (Lua patterns, without /v1) a table of field names; a name leads to the table of its message, or
-- to false where anything may stand. ALIASES: from JSON's other spelling, camel case, to the name.

local DEPTH_MAX = 64
local NAMED_MAX = 10
local QUOTE, BACKSLASH, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = 34, 92, 123, 125, 91, 93

-- Returns the table of the body's fields; nil where no route with a body is called.
local function fields_of(method, path)
  local routes = BODIES[method]
  if routes == nil then return nil end
  path = string.gsub(string.match(path, "^[^?#]*"), "/$", "")
  if string.sub(path, 1, 4) == "/v1/" then path = string.sub(path, 4) end
  local fields = routes.exact[path]
  if fields ~= nil then return fields end
  for _, route in ipairs(routes.patterns) do
    if string.find(path, route[1]) then return route[2] end
  end
  return nil
end

-- Returns where a string that begins at `from` ends; nil where it does not.
local function string_end(text, from)
  local stop = from
  while true do
    stop = string.find(text, '"', stop + 1, true)
    if stop == nil then return nil end
    local before = stop - 1
    while string.byte(text, before) == BACKSLASH do before = before - 1 end
    if (stop - before) % 2 == 1 then return stop end
  end
end

-- A name may be spelled with escapes; that changes nothing.
local function plain_name(name)
  if not string.find(name, "\\", 1, true) then return name end
  name = string.gsub(name, "\\u00(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
  return (string.gsub(name, "\\(.)", "%1"))
end

-- Returns nil for a body that may go on to the transcoder, which tells what is no JSON at all. Else
-- a sentence; or nil and the list of the names that the contract lacks, as `outer.inner`.
local function fault_in(text, fields)
  local depth, pos, coming, path = 0, 1, fields, {}
  local schemas, seen, unknown = {}, {}, {}
  while true do
    local at = string.find(text, "[\"{}%[%]:']", pos)
    if at == nil then break end
    local mark = string.byte(text, at)
    pos = at + 1
    if mark == QUOTE then
      local stop = string_end(text, at)
      if stop == nil then break end
      pos = stop + 1
      local _, colon = string.find(text, "^[ \t\r\n]*:", pos)
      local names = seen[depth]
      if colon ~= nil and names then
        pos = colon + 1
        local name, schema = plain_name(string.sub(text, at + 1, stop - 1)), schemas[depth]
        if schema then name = ALIASES[name] or name end
        if names[name] then return "A field stands twice in one object." end
        names[name] = true
        coming, path[depth] = false, name
        if schema then
          coming = schema[name]
          if coming == nil then
            unknown[#unknown + 1] = table.concat(path, ".", 1, depth)
            coming = false
            if #unknown >= NAMED_MAX then return nil, unknown end
          end
        end
      end
    elseif mark == OPEN or mark == OPEN_LIST then
      -- The items of a list are of the field's own kind.
      if depth > 0 and not seen[depth] then coming = schemas[depth] end
      depth = depth + 1
      if depth > DEPTH_MAX then return "The body is nested too deeply." end
      schemas[depth], seen[depth], path[depth] = coming, mark == OPEN and {}, ""
    elseif mark == CLOSE or mark == CLOSE_LIST then
      depth = depth - 1
      if depth <= 0 then break end
    else
      -- The transcoder takes bare names and single quotes, which are no JSON.
      return "Malformed JSON: names and texts stand in double quotes."
    end
  end
  if #unknown > 0 then return nil, unknown end
  return nil
end
