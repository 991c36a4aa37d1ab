# slm_embed(TARGET NAMESPACE_VAR file...): compiles text files into TARGET as
#   namespace slm::embedded { std::string_view file(std::string_view name); }
# names being paths relative to the source folder.
set(SLM_EMBED_SCRIPT ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
function(slm_embed target)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}_embedded.cc)
  list(JOIN ARGN "," names)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DROOT=${CMAKE_SOURCE_DIR} -DFILES=${names} -P ${SLM_EMBED_SCRIPT}
    DEPENDS ${ARGN} ${SLM_EMBED_SCRIPT}
    VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
