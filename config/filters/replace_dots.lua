-- Dots in the names of fields become underscores, at any depth, for stores that take a dot for a path.

local function replaced(value)
    if type(value) ~= "table" then
        return value
    end
    local fields = {}
    for key, field in pairs(value) do
        if type(key) == "string" then
            key = key:gsub("%.", "_")
        end
        fields[key] = replaced(field)
    end
    return fields
end

function filter(tag, timestamp, record)
    return 2, timestamp, replaced(record)
end
